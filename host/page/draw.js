// The page's pictures: a strip of spectrum and a line. Small enough to need no chart library.

const COLUMNS = 400;
// From silence to full: dark blue, violet, orange, near white; the same in light and dark.
const STOPS = [[5, 7, 12], [43, 27, 94], [160, 44, 104], [240, 120, 50], [255, 236, 170]];

function ramp() {
  const colours = [];
  for (let value = 0; value < 256; value++) {
    const place = (value / 255) * (STOPS.length - 1);
    const low = Math.min(STOPS.length - 2, Math.floor(place));
    colours.push(STOPS[low].map((c, i) => c + (STOPS[low + 1][i] - c) * (place - low)));
  }
  return colours;
}

export class Strip {
  // Columns of features (hex, one byte a band, low to high), the newest at the right.
  constructor(canvas) {
    this.context = canvas.getContext("2d");
    this.colours = ramp();
    this.columns = [];
    this.image = null;
  }

  add(columns) {
    if (!columns.length) return;
    for (const text of columns) {
      const bands = [];
      for (let at = 0; at < text.length; at += 2) bands.push(parseInt(text.slice(at, at + 2), 16));
      this.columns.push(bands);
    }
    this.columns.splice(0, Math.max(0, this.columns.length - COLUMNS));
    this.draw();
  }

  draw() {
    const bands = this.columns[0].length;
    this.context.canvas.height = bands;
    const image = this.context.createImageData(COLUMNS, bands);
    image.data.fill(255);
    for (let x = 0; x < COLUMNS; x++) {
      const column = this.columns[x - COLUMNS + this.columns.length];
      for (let band = 0; band < bands; band++) {
        const colour = this.colours[column ? stretched(column[band]) : 0];
        const at = 4 * ((bands - 1 - band) * COLUMNS + x);
        for (let i = 0; i < 3; i++) image.data[at + i] = colour[i];
      }
    }
    this.context.putImageData(image, 0, 0);
  }
}

// Half of the steps are far below speech: they are dark, and the rest gets the colours.
function stretched(value) {
  return Math.max(0, Math.min(255, Math.round((value - 40) * 1.35)));
}

export class Spark {
  // The last values as a line from 0 to their greatest.
  constructor(path, count = 150) {
    this.path = path;
    this.count = count;
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    this.values.splice(0, Math.max(0, this.values.length - this.count));
    const most = Math.max(...this.values) || 1;
    const places = this.values.map((v, i) => {
      const x = 300 - (300 * (this.values.length - 1 - i)) / (this.count - 1);
      return `${x.toFixed(1)} ${(46 - (44 * v) / most).toFixed(1)}`;
    });
    this.path.setAttribute("d", `M${places.join(" L")}`);
  }
}
