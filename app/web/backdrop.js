// The layer under the segments: curves, wave, faces and grid. It is drawn once, in tiles of time that move with the
// view, so panning only draws what comes into view.
import * as paint from "./paint.js";

// Device pixels.
const TILE = 256;
// The number of tiles that are kept in addition to those in view.
const SPARE = 8;

export class Backdrop {
  /** @type {Map<number, HTMLCanvasElement>} */
  tiles = new Map();
  /** @type {unknown[]} */
  drawn = [];

  // `scale`: device pixels per CSS pixel. The pen's clip is kept, its transform is not.
  draw(pen, view, scale, { findings, wave, colours }) {
    const wanted = [findings, wave, colours, view.layout, view.scale, scale];
    if (wanted.some((one, i) => one !== this.drawn[i])) this.tiles.clear();
    this.drawn = wanted;
    const origin = view.start * view.scale * scale;
    const [first, last] = [Math.floor(origin / TILE), Math.floor((origin + view.width * scale) / TILE)];
    pen.setTransform(1, 0, 0, 1, 0, 0);
    for (let i = first; i <= last; i++) {
      const tile = this.tiles.get(i) ?? this.make(i, view, scale, { findings, wave, colours });
      // The most recently used tiles come last.
      this.tiles.delete(i);
      this.tiles.set(i, tile);
      pen.drawImage(tile, Math.round(view.left * scale - origin) + i * TILE, 0);
    }
    for (const old of [...this.tiles.keys()].slice(0, -(last - first + 1 + SPARE))) this.tiles.delete(old);
  }

  make(index, view, scale, { findings, wave, colours }) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [TILE, Math.round(view.layout.height * scale)];
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const width = TILE / scale;
    const start = (index * width) / view.scale;
    const here = { ...view, start, end: start + width / view.scale, left: 0, right: width, width, x: (seconds) => (seconds - start) * view.scale };
    if (findings.saliency) paint.paintSaliency(pen, here, findings, colours.saliency);
    paint.paintGrid(pen, here, colours);
    paint.paintAxis(pen, here, colours);
    for (const label of findings.labels) paint.paintCurve(pen, here, findings, label, colours);
    paint.paintFaces(pen, here, findings, colours.face);
    if (wave) paint.paintWave(pen, here, wave, colours.wave);
    return canvas;
  }
}
