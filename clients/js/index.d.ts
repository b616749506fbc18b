/** Bytes of a picture, or the id of one that an earlier answer named. */
export type Picture = Blob | ArrayBuffer | ArrayBufferView | { id: string };

export interface ImageInfo { id: string; width: number; height: number; warnings: string[] }
export interface Region { label: string; score: number; box: [number, number, number, number] }
export interface Caption {
  caption: string; score: number; captions: { text: string; score: number }[]; regions?: Region[];
  image: ImageInfo; usage: { regions: number; tokens: number }; model: string;
}
export interface Answer {
  question: string; answer: string; score: number; answers: { answer: string; score: number }[]; regions?: Region[];
  image: ImageInfo; model: string;
}
export interface Matches {
  scores: (number[] | null)[]; results: { image: number; text: number; score: number; relevance_score: number }[];
  images: (ImageInfo | { error: unknown })[]; model: string;
}
export interface Reranked { results: { index: number; relevance_score: number }[]; model: string }
export interface Found { results: { key: string; score: number; relevance_score: number; image: { id: string; width: number; height: number } }[]; model: string }
export interface Stored { collection: string; key: string; replaced: boolean; image: { id: string; width: number; height: number } }

export interface Options {
  /** API key. */
  key?: string;
  /** Attempts after the first, of what may pass: 429, 503, a lost connection. Default 3. */
  retries?: number;
  /** Milliseconds that one attempt may take; then a MiniVLMError with code "timeout", and no further attempt. Default 60,000. */
  timeout?: number;
  headers?: Record<string, string>;
  fetch?: typeof globalThis.fetch;
}
export interface Call { signal?: AbortSignal }
export interface PredictCall extends Call { regions?: boolean; timeoutMs?: number }

export type Outcome<T, P = Picture> = { image: P; ok: true; result: T; error?: undefined } | { image: P; ok: false; error: unknown; result?: undefined };

/** What the service refused, in its words; status 0: it was not reached. */
export declare class MiniVLMError extends Error {
  constructor(message: string, options?: Partial<Pick<MiniVLMError, "status" | "code" | "param" | "requestId" | "retryable">>);
  status: number; code: string; param: string | null; requestId: string | null; retryable: boolean;
}

export declare class Client {
  constructor(url?: string, options?: Options);
  caption(image: Picture, options?: PredictCall & { numBeams?: number; numCaptions?: number; maxTokens?: number }): Promise<Caption>;
  ask(image: Picture, question: string, options?: PredictCall & { topK?: number }): Promise<Answer>;
  match(images: Picture[], texts: string[], options?: Call & { topK?: number }): Promise<Matches>;
  rerank(query: string, images: Picture[], options?: Call & { topN?: number }): Promise<Reranked>;
  store(collection: string, key: string, image: Picture, options?: Call): Promise<Stored>;
  /** A picture, or without a key the whole collection. */
  remove(collection: string, key?: string, options?: Call): Promise<unknown>;
  search(collection: string, text: string, options?: Call & { topK?: number }): Promise<Found>;
  version(options?: Call): Promise<{ name: string; version: string }>;
  /** call(image) (default: caption) of each, in order, `concurrency` at once; a picture that fails has its error in its outcome. */
  batch<P = Picture, T = Caption>(images: Iterable<P> | AsyncIterable<P>, call?: (image: P) => Promise<T>,
    options?: { concurrency?: number; onProgress?: (state: { done: number; total?: number }) => void }): AsyncGenerator<Outcome<T, P>>;
}
