"use strict";
(() => {
  document.documentElement.classList.add("live");
  const percent = (permille) => `${Math.floor(permille / 10)}.${permille % 10}%`;
  const make = (tag, text, parent) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  };

  // The first sentence asks: its numbers and names become fields.
  for (const answer of document.querySelectorAll("[data-answers]")) {
    const known = JSON.parse(document.getElementById(answer.dataset.answers).textContent);
    const pairs = Object.keys(known.answers).map((key) => key.split("|"));
    const [measure, bound, radius, threshold] = known.start;
    const choices = {
      measure: [[...new Set(pairs.map((p) => p[0]))], measure],
      bound: [[...new Set(pairs.map((p) => p[1]))], bound],
      radius: [known.radii, radius],
      threshold: [known.thresholds[measure], threshold],
    };
    const fields = {};
    const fill = (field, values, start) => {
      field.replaceChildren();
      for (const [i, value] of values.entries()) {
        const option = make("option", typeof value === "number" ? String(Number(value.toPrecision(6))) : value, field);
        option.value = String(i);
        option.selected = value === start;
      }
    };
    for (const [name, [values, start]] of Object.entries(choices)) {
      const field = make("select");
      field.setAttribute("aria-label", name);
      fill(field, values, start);
      field.autocomplete = "off";
      answer.querySelector(`[data-ask="${name}"]`).replaceChildren(field);
      fields[name] = field;
    }
    const show = () => {
      const at = (name) => choices[name][0][Number(fields[name].value)];
      const own = known.thresholds[at("measure")];
      if (choices.threshold[0] !== own) { // another measure: the same threshold if it has it, else about the same place
        const [before, place] = [at("threshold"), Number(fields.threshold.value)];
        choices.threshold[0] = own;
        fill(fields.threshold, own, own.includes(before) ? before : own[Math.min(place, own.length - 1)]);
      }
      const rows = known.answers[`${at("measure")}|${at("bound")}`];
      const place = Number(fields.threshold.value) * known.radii.length + Number(fields.radius.value);
      const [value, interval, least] = rows[place];
      answer.querySelector("[data-value]").textContent = value;
      answer.querySelector("[data-interval]").textContent = interval;
      answer.querySelector("[data-least]").textContent = least;
      const scope = answer.parentElement.querySelector(".scope");
      if (scope) scope.textContent = `${at("bound")} bound this holds ${known.scopes[at("bound")]}`;
    };
    answer.addEventListener("change", show);
  }

  // Figures: keys hide curves; the pointer or the slider reads them.
  for (const chart of document.querySelectorAll(".chart-box")) {
    const hidden = { group: new Set(), line: new Set() };
    const updates = [];
    for (const panel of chart.querySelectorAll(".panel")) {
      const source = panel.querySelector("script.curves");
      if (source) updates.push(readable(panel, JSON.parse(source.textContent), hidden));
    }
    for (const key of chart.querySelectorAll(".key")) {
      if (!updates.length) {
        key.disabled = true;
        key.removeAttribute("aria-pressed");
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
    const guide = document.createElementNS("http://www.w3.org/2000/svg", "line");
    guide.setAttribute("class", "guide");
    guide.setAttribute("y1", top);
    guide.setAttribute("y2", top + height);
    svg.append(guide);
    const box = make("div");
    box.className = "readout";
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
      const head = make("tr", undefined, make("thead", undefined, table));
      make("th", "", head);
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

  // The per-input table: find, filter, sort.
  for (const part of document.querySelectorAll("[data-inputs]")) {
    const body = part.querySelector("tbody");
    const rows = [...body.rows];
    const find = part.querySelector("[data-find]");
    const state = part.querySelector("select[data-state]");
    const shown = part.querySelector("[data-shown]");
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      rows.forEach((row, i) => {
        const kept = (!state.value || row.dataset.state === state.value) && words.every((w) => texts[i].includes(w));
        row.hidden = !kept;
        count += kept ? 1 : 0;
      });
      shown.textContent = `${count} of ${rows.length}`;
    };
    find.addEventListener("input", filter);
    state.addEventListener("change", filter);
    part.querySelector(".filters").hidden = false;
    filter();
    const heads = [...part.querySelectorAll("thead th")];
    heads.forEach((head, column) => {
      const button = make("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.cells[column];
          return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent;
        };
        const order = (a, b) => {
          const [x, y] = [key(a), key(b)];
          const ahead = typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true });
          return down ? -ahead : ahead;
        };
        body.append(...[...rows].sort(order));
      });
    });
  }
})();
