// Figures: keys hide curves; the pointer or the slider reads them; the measure of the first sentence chooses panels.
function readyFigure(chart) {
  const hidden = { group: new Set(), line: new Set() };
  const updates = [];
  for (const panel of chart.querySelectorAll(".panel")) {
    const source = panel.querySelector("script.curves");
    if (source) updates.push(readable(panel, JSON.parse(source.textContent), hidden));
  }
  for (const key of chart.querySelectorAll(".key")) {
    if (!updates.length) { // nothing to hide: what is left is a legend
      const words = make("span", undefined, undefined, "key");
      words.append(...key.childNodes);
      for (const [name, value] of Object.entries(key.dataset)) words.dataset[name] = value;
      key.replaceWith(words);
      continue;
    }
    key.addEventListener("click", () => {
      const on = key.getAttribute("aria-pressed") !== "true";
      key.setAttribute("aria-pressed", String(on));
      const kind = "group" in key.dataset ? "group" : "line";
      hidden[kind][on ? "delete" : "add"](key.dataset[kind]);
      for (const update of updates) update();
    });
  }
}

function readable(panel, data, hidden) {
  const svg = panel.querySelector("svg");
  const [left, top, width, height] = data.box;
  const guide = draw("line", { class: "guide", y1: top, y2: top + height }, svg);
  const box = make("div", undefined, undefined, "readout");
  const label = make("label", undefined, box);
  make("span", data.xlabel, label);
  const slider = make("input", undefined, label);
  slider.type = "range";
  slider.min = "0";
  slider.max = String(data.x.length - 1);
  slider.autocomplete = "off";
  const shown = make("output", undefined, label);
  const table = make("table", undefined, box);
  panel.append(box);
  const visible = (curve) => !hidden.group.has(curve.group) && !hidden.line.has(curve.line);
  const lines = [...new Set(data.curves.map((c) => c.line))].filter((l) => l !== "class");
  const groups = [...new Set(data.curves.map((c) => c.group))];
  let at = data.start;
  const update = () => {
    for (const [i, curve] of data.curves.entries()) {
      const drawn = svg.querySelector(`g[id$="-curve-${i}"]`);
      if (drawn) drawn.classList.toggle("off", curve.line === "class" ? hidden.group.has(curve.group) : !visible(curve));
    }
    const x = left + ((data.x[at] - data.xlim[0]) / (data.xlim[1] - data.xlim[0])) * width;
    guide.setAttribute("x1", x);
    guide.setAttribute("x2", x);
    slider.value = String(at);
    shown.textContent = String(Number(data.x[at].toPrecision(4)));
    slider.setAttribute("aria-valuetext", `${data.xlabel} ${shown.textContent}`);
    table.replaceChildren();
    make("caption", `At ${data.xlabel} ${shown.textContent}`, table, "unseen");
    const head = make("tr", undefined, make("thead", undefined, table));
    make("td", "", head);
    const columns = lines.filter((l) => !hidden.line.has(l));
    for (const line of columns) make("th", line, head).scope = "col";
    const body = make("tbody", undefined, table);
    for (const group of groups.filter((g) => !hidden.group.has(g))) {
      const row = make("tr", undefined, body);
      make("th", group, row).scope = "row";
      const own = data.curves.filter((c) => c.group === group);
      for (const line of own[0].line === "class" ? ["class"] : columns) {
        const curve = own.find((c) => c.line === line);
        const cell = make("td", percent(curve.y[at]) + " ", row);
        make("small", `${percent(curve.low[at]).slice(0, -1)}–${percent(curve.high[at])}`, cell);
      }
    }
  };
  slider.addEventListener("input", () => { at = Number(slider.value); update(); });
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    const place = ((event.clientX - frame.left) / frame.width) * svg.viewBox.baseVal.width;
    const value = data.xlim[0] + ((place - left) / width) * (data.xlim[1] - data.xlim[0]);
    let nearest = 0;
    for (let i = 1; i < data.x.length; i += 1) {
      if (Math.abs(data.x[i] - value) < Math.abs(data.x[nearest] - value)) nearest = i;
    }
    if (nearest !== at) { at = nearest; update(); }
  });
  update();
  return update;
}
