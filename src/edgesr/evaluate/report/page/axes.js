/* Scales and ticks of the plots. A scale maps a figure to screen px. */

function linear(low, high, start, end) {
  return (value) => start + ((value - low) / (high - low || 1)) * (end - start);
}

function logarithmic(low, high, start, end) {
  const scale = linear(Math.log10(low), Math.log10(high), start, end);
  return (value) => scale(Math.log10(value));
}

/** Round figures from low to high, about `wanted` of them. */
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const value = (first + index) * step;
    return [value, value.toFixed(places)];
  });
}

/** 1, 2, 5 times powers of ten from low to high; the powers alone where that is many. */
function logTicks(low, high) {
  const factors = Math.log10(high / low) > 2 ? [1] : [1, 2, 5];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push([value, cost(value)]);
    }
  }
  return found;
}

/** The lowest and highest of some figures, with room around. */
function padded(values, room = 0.06) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low || Math.abs(high) || 1) * room;
  return [low - margin, high + margin];
}

/** An SVG as wide as its place on the page. */
function canvas(place, height, label) {
  const width = Math.max(280, place.clientWidth);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  place.replaceChildren(drawing);
  return [drawing, width];
}

function axisX(drawing, marks, scale, top, bottom, title) {
  for (const [value, label] of marks) {
    const x = scale(value);
    drawing.append(shape("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }));
    drawing.append(shape("text", { class: "tick", x, y: bottom + 16, "text-anchor": "middle" }, label));
  }
  const middle = (scale(marks[0][0]) + scale(marks.at(-1)[0])) / 2;
  drawing.append(shape("text", { class: "axis", x: middle, y: bottom + 34, "text-anchor": "middle" }, title));
}

function axisY(drawing, marks, scale, left, right, title) {
  for (const [value, label] of marks) {
    const y = scale(value);
    drawing.append(shape("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }));
    drawing.append(shape("text", { class: "tick", x: left - 6, y: y + 4, "text-anchor": "end" }, label));
  }
  drawing.append(shape("text", { class: "axis", x: 0, y: 12 }, title));
}

/** How wide a name is in a plot, px. */
function textWidth(text) {
  const brush = document.createElement("canvas").getContext("2d");
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  brush.font = `600 ${0.8 * rem}px ${getComputedStyle(document.body).fontFamily}`;
  return brush.measureText(text).width;
}
