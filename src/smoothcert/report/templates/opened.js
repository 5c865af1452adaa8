// One input, opened: its picture and a noisy copy, the sentence to quote, its scores and what is certified from them.
const dialog = document.getElementById("opened");
let opened = null;

function address(run, row) {
  const own = runs.length > 1 ? `${run.known.key}-` : "";
  return `#${own}input-${run.data.index[row]}`;
}

function openAt(hash) {
  const found = /^#(?:(run\d+)-)?input-(\d+)$/.exec(hash);
  const run = found && runs.find((one) => (found[1] ? one.known.key === found[1] : true));
  const row = run && run.data ? run.data.index.indexOf(Number(found[2])) : -1;
  if (row >= 0) run.open(row);
}

function openInput(run, row) {
  opened = { run, row };
  showOpened();
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  document.getElementById("opened-title").focus();
  history.replaceState(null, "", address(run, row));
}

function stepInput(step) {
  const { run, row } = opened;
  const next = run.order[run.order.indexOf(row) + step];
  if (next !== undefined) openInput(run, next);
}

const samplesOf = (run, row) => (run.data.n ? run.data.n[row] : run.known.n).toLocaleString("en");

function sentences(run, row) {
  const { known, data, state } = run;
  const name = classWords(run, data.prediction[row]);
  const sure = short(Number((1 - known.alpha).toPrecision(12))) === "1" ? `1 − ${known.alpha}` : String(Number((1 - known.alpha).toPrecision(12)));
  const said = [];
  if (state.measure !== "class") {
    const lower = boundsOf(run, row, state.measure, state.bound)[known.grid.indexOf(state.radius)];
    const least = fixed(lower, data.decimals[state.measure]);
    said.push(`With probability at least ${sure}, no ${known.what} within L2 distance ${short(state.radius)} of this one has a smoothed ${state.measure} below ${least} for class “${name}” (${state.bound} bound, Gaussian noise of sigma ${short(known.sigma)}, ${samplesOf(run, row)} samples).`);
  }
  if (data.class_radius) {
    said.push(data.class_radius[row] > 0
      ? `With probability at least ${sure}, the smoothed classifier gives no ${known.what} within L2 distance ${fixed(data.class_radius[row], 4)} of this one another class than “${name}”.`
      : "The smoothed classifier abstains: no class is certified.");
  }
  return said;
}

function noisy(picture, canvas, sigma) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const values = pixels.data;
  let grey = true;
  for (let i = 0; i < values.length && grey; i += 4) grey = values[i] === values[i + 1] && values[i] === values[i + 2];
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  for (let i = 0; i < values.length; i += 4) {
    const same = normal();
    for (let k = 0; k < 3; k += 1) values[i + k] += 255 * sigma * (grey ? same : normal());
  }
  context.putImageData(pixels, 0, 0);
}

function showPictures(run, row, body) {
  const url = run.known.pictures[row];
  if (!url) {
    if (!Object.keys(run.known.pictures).length) make("p", "No picture: the page was made without (--pictures), or the data could not be loaded.", body, "soft no-picture");
    return;
  }
  const box = make("div", undefined, body, "pictures");
  const [first, second] = [make("figure", undefined, box), make("figure", undefined, box)];
  const picture = make("img", undefined, first);
  const canvas = make("canvas", undefined, second);
  picture.alt = `Input ${run.data.index[row]}`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Input ${run.data.index[row]} under noise`);
  picture.addEventListener("load", () => noisy(picture, canvas, run.known.sigma));
  picture.src = url;
  make("figcaption", "The input.", first);
  const caption = make("figcaption", `A noisy copy, sigma ${short(run.known.sigma)}. `, second);
  const again = make("button", "Draw another", caption);
  again.type = "button";
  again.addEventListener("click", () => noisy(picture, canvas, run.known.sigma));
}

function showOpened() {
  const { run, row } = opened;
  const { known, data, state } = run;
  const place = run.order.indexOf(row);
  for (const button of dialog.querySelectorAll("[data-step]")) button.disabled = run.order[place + Number(button.dataset.step)] === undefined;
  document.getElementById("opened-title").textContent = `Input ${data.index[row]}`;
  const body = dialog.querySelector("[data-body]");
  body.replaceChildren();
  make("p", data.ids[row], body, "soft id");
  const facts = make("dl", undefined, body, "facts");
  const fact = (name, value) => {
    const line = make("div", undefined, facts);
    make("dt", name, line);
    make("dd", value, line);
  };
  fact("label", classWords(run, data.label[row]));
  fact("prediction", classWords(run, data.prediction[row]));
  if (data.clean) fact("without noise", data.clean[row] < 0 ? "not recorded" : classWords(run, data.clean[row]));
  fact("result", STATES[data.state[row]]);
  if (data.class_radius) fact("class radius", fixed(data.class_radius[row], 4));
  const smoothed = data[`smoothed|${state.measure}`];
  if (smoothed) fact(`smoothed ${state.measure}`, fixed(smoothed[row], data.decimals[state.measure]));
  if (state.measure !== "class") {
    const to = keptTo(run, row, state);
    fact(`${state.measure} > ${short(state.threshold)} kept to`, to < 0 ? "not even without a change" : `radius ${short(to)}`);
  }
  showPictures(run, row, body);

  make("h3", "To quote", body);
  for (const sentence of sentences(run, row)) make("blockquote", sentence, body);
  const choices = make("p", undefined, body, "choices");
  for (const [name, values] of Object.entries(choicesOf(run))) {
    const label = make("label", `${name} `, choices);
    const field = make("select", undefined, label);
    fillSelect(field, values, state[name]);
    field.addEventListener("change", () => {
      setState(run, name, values[Number(field.value)]);
      dialog.querySelector(`.choices [data-name="${name}"]`).focus();
    });
    field.dataset.name = name;
  }
  if (state.measure === "class") return;
  const figures = make("div", undefined, body, "figures");
  showHistogram(run, row, figures);
  showCurves(run, row, figures);
  showBoundsTable(run, row, body);
}

function figureBox(parent, name, title, keys) {
  const figure = make("figure", undefined, parent, "chart-box");
  figure.id = name;
  make("h4", title, figure);
  if (keys.length) {
    const box = make("div", undefined, figure, "keys");
    for (const [label, style] of keys) {
      const key = make("span", undefined, box, "key");
      make("span", undefined, key, "swatch").setAttribute("style", style);
      key.append(label);
    }
  }
  const panel = make("div", undefined, figure, "panel");
  make("p", title, panel, "panel-title unseen");
  return [figure, panel];
}

function closeFigure(figure, caption) {
  make("figcaption", caption, figure);
  const tools = make("p", undefined, figure, "tools");
  make("span", "Figure", tools);
  for (const kind of ["svg", "png"]) {
    const button = make("button", kind.toUpperCase(), tools);
    [button.type, button.dataset.save] = ["button", kind];
  }
}

function showHistogram(run, row, parent) {
  const { known, data, state } = run;
  const held = data[`histogram|${state.measure}`];
  if (!held) return;
  const [measure, bins] = [state.measure, data.bins];
  const stage = (which) => Array.from(held.subarray((2 * row + which) * bins, (2 * row + which + 1) * bins), (part) => part / 65535);
  const name = `${known.key}-input-${data.index[row]}-samples`;
  const [figure, panel] = figureBox(parent, name, `Sampled ${measure}s`, [
    [`${samplesOf(run, row)} estimation samples`, `--c: ${COLORS[0]}; border-top: 8px solid var(--c)`],
    [`${known.n0.toLocaleString("en")} pilot samples`, `--c: ${COLORS[1]}; border-top: 2px solid var(--c)`],
  ]);
  const lower = boundsOf(run, row, measure, state.bound)[known.grid.indexOf(state.radius)];
  const marks = [
    { value: exact(lower, data.decimals[measure]), dash: "none", label: `certified ≥ ${fixed(lower, data.decimals[measure])}` },
    { value: exact(data[`smoothed|${measure}`][row], data.decimals[measure]), dash: "3 2", label: `mean ${fixed(data[`smoothed|${measure}`][row], data.decimals[measure])}` },
  ];
  drawHistogram(panel, { pilot: stage(0), sample: stage(1), ends: data.ends[measure], marks, xlabel: measure === "lead" ? "lead over the strongest rival" : measure });
  closeFigure(figure, `The bound is computed from the estimation samples alone; the pilot chose the class${state.bound === "dual" ? " and tuned the dual bound" : ""}. Solid: what is certified at radius ${short(state.radius)}. Dashed: the mean, an estimate at radius 0.`);
}

function showCurves(run, row, parent) {
  const { known, data, state } = run;
  const [measure, bounds] = [state.measure, known.bounds];
  const decimals = data.decimals[measure];
  const values = (bound, side) => {
    const held = boundsOf(run, row, measure, bound, side);
    return held && Array.from(held, (one) => exact(one, decimals));
  };
  const curves = bounds.map((bound) => ({ lower: values(bound, "lower"), upper: values(bound, "upper") }));
  const keys = bounds.map((bound, i) => [known.names[bound], `--c: ${COLORS[i]}; border-top: 3px solid var(--c)`]);
  const [figure, panel] = figureBox(parent, `${known.key}-input-${data.index[row]}-bounds`, `Certified ${measure} over the radius`, keys);
  const classRadius = data.class_radius && data.class_radius[row] > 0 ? exact(data.class_radius[row], 4) : undefined;
  drawBounds(panel, { grid: known.grid, curves, ends: data.ends[measure], classRadius, ylabel: measure });
  const above = curves.some((curve) => curve.upper) ? " Thin: upper bounds, of the bounds that hold for all radii together." : "";
  closeFigure(figure, `No change within the radius takes the smoothed ${measure} below its line. Each bound is a claim of its own.${above}${classRadius === undefined ? "" : " Dotted: the class radius."}`);
}

function showBoundsTable(run, row, parent) {
  const { known, data, state } = run;
  const [measure, bounds] = [state.measure, known.bounds];
  const decimals = data.decimals[measure];
  const box = make("div", undefined, parent, "tabled");
  box.id = `${known.key}-input-${data.index[row]}`;
  const scroll = make("div", undefined, box, "scroll");
  [scroll.tabIndex, scroll.role, scroll.ariaLabel] = [0, "region", "Certified bounds of this input"];
  const table = make("table", undefined, scroll, "numbers");
  make("caption", `Certified ${measure} at each radius`, table);
  const head = make("tr", undefined, make("thead", undefined, table));
  const sides = bounds.flatMap((bound) => ["lower", "upper"].filter((side) => boundsOf(run, row, measure, bound, side)).map((side) => [bound, side]));
  for (const word of ["radius", ...sides.map(([bound, side]) => `${bound} ${side === "lower" ? "≥" : "≤"}`)]) make("th", word, head).scope = "col";
  const lines = make("tbody", undefined, table);
  for (const radius of known.radii) {
    const line = make("tr", undefined, lines);
    make("th", short(radius), line).scope = "row";
    const at = known.grid.indexOf(radius);
    for (const [bound, side] of sides) make("td", fixed(boundsOf(run, row, measure, bound, side)[at], decimals, side === "upper"), line);
  }
  const tools = make("p", undefined, box, "tools");
  make("span", "All radii", tools);
  for (const kind of ["csv", "json"]) {
    const button = make("button", kind.toUpperCase(), tools);
    [button.type, button.dataset.save] = ["button", kind];
  }
  box.table = () => ({
    name: box.id,
    columns: ["radius", ...sides.map(([bound, side]) => `${measure}_${bound}_${side}`)],
    rows: known.grid.map((radius, at) => [radius, ...sides.map(([bound, side]) => exact(boundsOf(run, row, measure, bound, side)[at], decimals))]),
  });
}

function readyDialog() {
  for (const button of dialog.querySelectorAll("[data-step]")) button.addEventListener("click", () => stepInput(Number(button.dataset.step)));
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }); // the backdrop
  dialog.addEventListener("keydown", (event) => {
    if (event.target.closest("select, input, .scroll") || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) stepInput(step);
  });
  dialog.addEventListener("close", () => {
    const { run, row } = opened;
    opened = null;
    history.replaceState(null, "", `#${run.known.key}`);
    const inputs = run.section.querySelector("[data-inputs]");
    (inputs.querySelector(`button.open[data-row="${row}"]`) || inputs.querySelector(".scroll")).focus();
  });
  window.addEventListener("hashchange", () => openAt(location.hash));
}
