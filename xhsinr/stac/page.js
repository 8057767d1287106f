"use strict";
const scenes = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const round = (digits) => (v) => v.toLocaleString("en", { maximumSignificantDigits: digits });
const bytes = (v) => {
  const power = v < 1000 ? 0 : Math.min(5, Math.floor(Math.log10(v) / 3));
  return `${round(3)(v / 1000 ** power)} ${["B", "kB", "MB", "GB", "TB", "PB"][power]}`;
};
const COLUMNS = [
  ["id", "scene", String, true],
  ["time", "time", (v) => v.slice(0, 10)],
  ["bytes", "size", bytes],
  ["ratio", "times smaller", round(3)],
  ["psnr_db", "PSNR, dB", (v) => v.toFixed(1)],
  ["mean_sam_deg", "angle, °", round(3)],
  ["max_error", "largest error", round(4)],
  ["caution", "caution", String, true],
];
const SVG = "http://www.w3.org/2000/svg";

function make(tag, fields = {}, ...inside) {
  const made = document.createElement(tag);
  Object.assign(made, fields);
  made.append(...inside);
  return made;
}

function shape(tag, fields, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(fields)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function told(scene, [key, , format]) {
  if (key === "psnr_db" && scene.lossless) return "lossless";
  const value = scene[key];
  return value === null || value === "" ? "" : format(value);
}

// The table.

let order = { key: "id", down: false };

function row(scene) {
  const line = make("tr");
  const look = make("td", { className: "look" });
  if (scene.files.thumbnail)
    look.append(make("img", { loading: "lazy", alt: "", src: scene.files.thumbnail }));
  line.append(look);
  for (const column of COLUMNS) {
    const text = told(scene, column);
    const cell = make("td", { className: column[3] ? "words" : "" });
    if (column[0] === "id") cell.append(make("a", { href: `#${encodeURIComponent(text)}` }, text));
    else cell.append(make("span", {}, text));
    if (column[0] === "caution") cell.classList.add("caution");
    line.append(cell);
  }
  line.onmouseenter = () => scene.print && scene.print.classList.add("on");
  line.onmouseleave = () => scene.print && scene.print.classList.remove("on");
  return line;
}

function compared(a, b) {
  const [x, y] = [a[order.key], b[order.key]];
  const none = [x, y].map((v) => v === null || v === "");
  if (none[0] || none[1]) return none[0] - none[1];
  const sign = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
  return order.down ? -sign : sign;
}

function list() {
  const words = at("search").value.toLowerCase().split(/\s+/);
  const careful = at("cautions").checked;
  const found = scenes.filter(
    (scene) => (!careful || scene.caution) && words.every((word) => scene.words.includes(word)),
  );
  found.sort(compared);
  at("rows").replaceChildren(...found.map((scene) => scene.row));
  for (const scene of scenes) if (scene.print) scene.print.style.display = "none";
  for (const scene of found) if (scene.print) scene.print.style.display = "";
  const sum = (key) => found.reduce((all, scene) => all + (scene[key] || 0), 0);
  const before = found.reduce((all, scene) => all + (scene.bytes || 0) * (scene.ratio || 0), 0);
  const cautions = found.filter((scene) => scene.caution).length;
  at("sum").textContent =
    `${found.length.toLocaleString("en")} of ${scenes.length.toLocaleString("en")} scenes, ` +
    `${bytes(before)} in ${bytes(sum("bytes"))}` + (cautions ? `, ${cautions} with a caution` : "");
  for (const [number, head] of [...at("heads").children].slice(1).entries()) {
    const sorted = COLUMNS[number][0] === order.key;
    head.ariaSort = sorted ? (order.down ? "descending" : "ascending") : "none";
  }
}

// The map: longitude to the right, latitude up.

const SMALLEST = 9;
let view = [-180, -90, 360, 180];

function extent(rings) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of rings)
    for (const [x, y] of ring) {
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, -y), Math.max(bottom, -y)];
    }
  return [left, top, right, bottom];
}

function path(scene) {
  const line = (ring) => `M${ring.map(([x, y]) => `${x} ${-y}`).join("L")}Z`;
  const print = shape("g", { class: "print" });
  const [left, top, right, bottom] = extent(scene.rings.slice(0, 1));
  const middle = `M${(left + right) / 2} ${(top + bottom) / 2}h0`;
  scene.side = Math.max(right - left, bottom - top);
  scene.dot = shape("path", { class: "dot", d: middle });
  print.append(
    shape("title", {}, scene.id),
    shape("path", { d: scene.rings.map(line).join("") }),
    scene.dot,
  );
  print.onclick = () => (location.hash = encodeURIComponent(scene.id));
  return print;
}

function look([left, top, width, height]) {
  const box = at("map").getBoundingClientRect();
  const shown = Math.max(height, (width * box.height) / Math.max(box.width, 1));
  const wide = (shown * box.width) / Math.max(box.height, 1);
  view = [left - (wide - width) / 2, top - (shown - height) / 2, wide, shown];
  at("map").setAttribute("viewBox", view.join(" "));
  grid(shown / box.height);
  // What would be smaller than a dot is one.
  for (const { dot, side } of scenes)
    if (dot) dot.parentNode.classList.toggle("small", (side * box.height) / shown < SMALLEST);
}

function grid(pixel) {
  const [left, top, width, height] = view;
  const steps = [45, 30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
  const step = steps.find((s) => s < width / 5) || 0.001;
  const lines = [];
  const limits = [[left, width, 180], [top, height, 90]];
  for (const [axis, [start, length, most]] of limits.entries()) {
    const first = Math.ceil(Math.max(start, -most) / step);
    for (let n = first; n * step <= Math.min(start + length, most); n++) {
      const v = n * step;
      const degrees = +Math.abs(v).toFixed(4);
      if (axis === 0) {
        const [y1, y2] = [Math.max(top, -90), Math.min(top + height, 90)];
        lines.push(shape("line", { class: "grid", x1: v, x2: v, y1, y2 }));
        if (Math.abs(v) === most) continue;
        const place = { x: v + 3 * pixel, y: y2 - 4 * pixel, "font-size": 11 * pixel };
        lines.push(shape("text", place, `${degrees}°${v < 0 ? "W" : v > 0 ? "E" : ""}`));
      } else {
        const [x1, x2] = [Math.max(left, -180), Math.min(left + width, 180)];
        lines.push(shape("line", { class: "grid", x1, x2, y1: v, y2: v }));
        if (Math.abs(v) === most) continue;
        const place = { x: x1 + 3 * pixel, y: v - 3 * pixel, "font-size": 11 * pixel };
        lines.push(shape("text", place, `${degrees}°${v < 0 ? "N" : v > 0 ? "S" : ""}`));
      }
    }
  }
  at("grid").replaceChildren(...lines);
}

function fit() {
  const shown = scenes.filter(({ print }) => print && print.style.display === "");
  const [left, top, right, bottom] = extent(shown.flatMap((scene) => scene.rings));
  if (left > right) return look([-180, -90, 360, 180]);
  const margin = 0.02 + 0.08 * Math.max(right - left, bottom - top);
  return look([left - margin, top - margin, right - left + 2 * margin, bottom - top + 2 * margin]);
}

function zoom(factor, x = 0.5, y = 0.5) {
  const [left, top, width, height] = view;
  const [wide, high] = [Math.min(720, width * factor), Math.min(720, height * factor)];
  look([left + (width - wide) * x, top + (height - high) * y, wide, high]);
}

// One scene.

function show() {
  const scene = scenes.find((s) => s.id === decodeURIComponent(location.hash.slice(1)));
  if (!scene) return at("scene").close();
  const facts = make("dl");
  const fact = (label, ...value) => facts.append(make("dt", {}, label), make("dd", {}, ...value));
  if (scene.title) fact("title", scene.title);
  const [bands, rows, cols] = scene.shape;
  if (cols) fact("samples", `${rows} × ${cols} pixels, ${bands} bands`);
  fact("asked for", scene.asked);
  for (const column of COLUMNS.slice(1)) {
    const text = told(scene, column);
    if (text) fact(column[1], text);
  }
  const links = Object.entries({ item: scene.item, ...scene.files }).map(([name, href]) =>
    make("a", { href }, name),
  );
  fact("files", ...links.flatMap((link) => [link, " "]));
  const pictures = make("div", { className: "pictures" });
  for (const key of ["thumbnail", "spectra"])
    if (scene.files[key])
      pictures.append(make("img", { className: key, alt: key, src: scene.files[key] }));
  at("shown").replaceChildren(make("h2", {}, scene.id), pictures, facts);
  if (!at("scene").open) at("scene").showModal();
  return null;
}

for (const scene of scenes) {
  scene.words = `${scene.id} ${scene.title} ${scene.time} ${scene.caution}`.toLowerCase();
  scene.row = row(scene);
  if (scene.rings.length) scene.print = path(scene);
}
at("heads").append(make("th"));
for (const [key, label, , words] of COLUMNS) {
  const head = make("th", { className: words ? "words" : "", scope: "col" }, label);
  head.onclick = () => {
    order = { key, down: order.key === key && !order.down };
    list();
  };
  at("heads").append(head);
}
at("map").append(shape("g", { id: "grid" }), ...scenes.flatMap((s) => s.print || []));
at("search").oninput = at("cautions").onchange = list;
at("fit").onclick = fit;
at("world").onclick = () => look([-180, -90, 360, 180]);
at("in").onclick = () => zoom(0.5);
at("out").onclick = () => zoom(2);
at("map").onwheel = (event) => {
  event.preventDefault();
  const box = at("map").getBoundingClientRect();
  const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  zoom(event.deltaY > 0 ? 1.25 : 0.8, x, y);
};
at("scene").onclose = () => history.replaceState(null, "", " ");
window.onhashchange = show;
window.onresize = () => look(view);
list();
fit();
show();
