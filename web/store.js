// What the browser keeps: pictures of the tray, so that a reload loses none, and thumbnails of collections. Where there
// is no IndexedDB (private windows of some browsers) everything works, and is forgotten with the tab.

let opening = null;

function database() {
  opening ??= new Promise((resolve) => {
    let request;
    try {
      request = indexedDB.open("minivlm", 1);
    } catch {
      resolve(null);
      return;
    }
    request.onupgradeneeded = () => {
      request.result.createObjectStore("tray", { keyPath: "key" });
      request.result.createObjectStore("thumbs");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => resolve(null);
  });
  return opening;
}

async function run(name, mode, work) {
  const db = await database();
  if (!db) return null;
  return new Promise((resolve) => {
    try {
      const transaction = db.transaction(name, mode);
      const request = work(transaction.objectStore(name));
      transaction.oncomplete = () => resolve(request?.result ?? null);
      transaction.onerror = transaction.onabort = () => resolve(null); // a full disk: go on without
    } catch {
      resolve(null);
    }
  });
}

export const tray = {
  all: async () => (await run("tray", "readonly", (s) => s.getAll())) ?? [],
  put: (entry) => run("tray", "readwrite", (s) => s.put(entry)),
  remove: (key) => run("tray", "readwrite", (s) => s.delete(key)),
};

export const thumbs = {
  get: (collection, key) => run("thumbs", "readonly", (s) => s.get([collection, key])),
  put: (collection, key, blob) => run("thumbs", "readwrite", (s) => s.put(blob, [collection, key])),
  remove: (collection, key) => run("thumbs", "readwrite", (s) => s.delete([collection, key])),
};
