// Every input: a table that makes rows as they are wanted, and what opens from it.
const CHUNK = 100;
const STATES = ["right", "wrong", "abstained", "no label"];
const TYPES = { i2: Int16Array, u2: Uint16Array, i4: Int32Array };

// What Python packed: a header's length, the header and the columns it names.
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = await new Response(stream).arrayBuffer();
  const size = new DataView(whole).getUint32(0, true);
  const { columns, ...more } = JSON.parse(new TextDecoder().decode(new Uint8Array(whole, 4, size)));
  // The header is padded so that columns begin at multiples of 8: 4 more bytes stand before it.
  const body = whole.slice(4 + size);
  const held = Object.entries(columns).map(([name, [at, count, kind]]) => [name, new TYPES[kind](body, at, count)]);
  return { ...more, ...Object.fromEntries(held) };
}

const classWords = (run, label) => (label < 0 ? "—" : (run.known.classNames && run.known.classNames[label]) || String(label));
const boundsOf = (run, row, measure, bound, side = "lower") => {
  const held = run.data[`${side}|${measure}|${bound}`];
  const width = run.known.grid.length;
  return held && held.subarray(row * width, (row + 1) * width);
};

// Radii are tested upward until the first that fails, so that the search is one statement.
function keptTo(run, row, { measure, bound, threshold }) {
  const lower = boundsOf(run, row, measure, bound);
  const least = threshold * 10 ** run.data.decimals[measure];
  let reached = -1;
  while (reached + 1 < lower.length && lower[reached + 1] > least) reached += 1;
  return reached < 0 ? -1 : run.known.grid[reached];
}

function isKept(run, row) {
  const { measure, bound, radius, threshold } = run.state;
  const counts = run.known.labelled ? run.data.state[row] === 0 : run.data.state[row] !== 2;
  if (measure === "class") return counts && exact(run.data.class_radius[row], 4) >= radius;
  const lower = boundsOf(run, row, measure, bound)[run.known.grid.indexOf(radius)];
  return counts && lower > threshold * 10 ** run.data.decimals[measure];
}

// Columns of the table for what is asked now: name, heading, whether words, the value, how it is shown.
function inputColumns(run) {
  const { data, known } = run;
  const { measure, bound } = run.state;
  const columns = [{ key: "index", heading: "index", value: (row) => data.index[row] }];
  const word = (key, heading, value) => columns.push({ key, heading, words: true, value });
  const number = (key, heading, held, place, decimals) => columns.push({
    key,
    heading,
    value: (row) => exact(held[place(row)], decimals),
    sort: (row) => held[place(row)],
    text: (row) => fixed(held[place(row)], decimals),
  });
  if (known.thumbnails) columns.push({ key: "", heading: "picture", picture: true, value: () => "" });
  word("id", "input", (row) => data.ids[row]);
  word("label", "label", (row) => classWords(run, data.label[row]));
  word("prediction", "prediction", (row) => classWords(run, data.prediction[row]));
  if (data.clean) word("clean_prediction", "without noise", (row) => classWords(run, data.clean[row]));
  word("result", "result", (row) => STATES[data.state[row]]);
  if (data.class_radius) number("class_radius", "class radius", data.class_radius, (row) => row, 4);
  if (measure === "class") return columns;
  const decimals = data.decimals[measure];
  if (data[`smoothed|${measure}`]) number(`smoothed_${measure}`, `smoothed ${measure}`, data[`smoothed|${measure}`], (row) => row, decimals);
  const lower = data[`lower|${measure}|${bound}`];
  for (const radius of known.radii) {
    const at = known.grid.indexOf(radius);
    number(`${measure}_${bound}_lower_at_${short(radius)}`, `${measure} ≥ at ${short(radius)}`, lower, (row) => row * known.grid.length + at, decimals);
  }
  columns.push({
    key: `${measure}_${bound}_kept_to`,
    heading: `> ${short(run.state.threshold)} kept to`,
    value: (row) => { const to = keptTo(run, row, run.state); return to < 0 ? null : to; },
    sort: (row) => keptTo(run, row, run.state),
    text: (row) => { const to = keptTo(run, row, run.state); return to < 0 ? "—" : short(to); },
  });
  return columns;
}

// Head of a table whose columns sort; what is chosen stays chosen when the columns change.
function sortableHead(table, columns, sorted, change) {
  const head = make("tr");
  for (const column of columns) {
    const cell = make("th", undefined, head, column.words ? "text" : "");
    cell.scope = "col";
    if (sorted.key === column.key) cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    if (column.picture) { cell.textContent = column.heading; continue; }
    make("span", column.heading, cell, "print-only"); // no browser repeats a button on each page
    const button = make("button", column.heading, cell);
    button.type = "button";
    button.addEventListener("click", () => {
      [sorted.down, sorted.key] = [sorted.key === column.key && !sorted.down, column.key];
      change();
      table.querySelectorAll("thead th")[columns.indexOf(column)].querySelector("button").focus();
    });
  }
  table.tHead.replaceChildren(head);
}

function sortRows(rows, columns, sorted) {
  const column = columns.find((one) => one.key === sorted.key);
  if (!column) return rows;
  const key = column.sort || column.value;
  const order = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
  const keyed = rows.map((row) => [key(row), row]).sort(([a, i], [b, j]) => (sorted.down ? -1 : 1) * order(a, b) || i - j);
  return keyed.map(([, row]) => row);
}

function readyInputs(run) {
  const part = run.section.querySelector("[data-inputs]");
  const box = part.querySelector(".tabled");
  const table = box.querySelector("table");
  const [find, state, kept, shown] = ["[data-find]", "select[data-state]", "[data-kept]", "[data-shown]"].map((q) => part.querySelector(q));
  const more = part.querySelector(".more");
  const count = run.data.index.length;
  const texts = Array.from({ length: count }, (_, row) => [
    run.data.index[row], run.data.ids[row], classWords(run, run.data.label[row]), classWords(run, run.data.prediction[row]), STATES[run.data.state[row]],
  ].join(" ").toLowerCase());
  const sorted = { key: "index", down: false };
  let columns = [];
  let visible = CHUNK;

  const rowOf = (row) => {
    const line = make("tr");
    line.dataset.state = STATES[run.data.state[row]];
    columns.forEach((column, i) => {
      const cell = make(i ? "td" : "th", undefined, line, column.words ? "text" : "");
      if (column.picture) {
        if (run.known.pictures[row]) {
          const picture = make("img", undefined, cell, "thumbnail");
          [picture.src, picture.alt, picture.loading] = [run.known.pictures[row], "", "lazy"];
        }
      } else if (i) {
        cell.textContent = column.text ? column.text(row) : column.value(row);
      } else {
        cell.scope = "row";
        const button = make("button", column.value(row), cell, "open");
        button.type = "button";
        button.dataset.row = row;
        button.setAttribute("aria-haspopup", "dialog");
        button.setAttribute("aria-label", `Open input ${column.value(row)}`);
      }
    });
    return line;
  };
  const show = () => {
    const body = table.tBodies[0];
    const lines = document.createDocumentFragment();
    for (const row of run.order.slice(0, visible)) lines.append(rowOf(row));
    body.replaceChildren(lines);
    shown.textContent = `${run.order.length.toLocaleString("en")} of ${counted(count, "input")}`;
    const left = run.order.length - visible;
    more.hidden = left <= 0;
    more.firstElementChild.textContent = `Show ${Math.min(left, 5 * CHUNK).toLocaleString("en")} more of ${Math.max(left, 0).toLocaleString("en")}`;
  };
  const update = () => {
    columns = inputColumns(run);
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [];
    for (let row = 0; row < count; row += 1) {
      if (state.value && STATES[run.data.state[row]] !== state.value) continue;
      if (kept.checked && isKept(run, row)) continue;
      if (words.every((word) => texts[row].includes(word))) rows.push(row);
    }
    run.order = sortRows(rows, columns, sorted);
    sortableHead(table, columns, sorted, update);
    show();
  };
  for (const [field, event] of [[find, "input"], [state, "change"], [kept, "change"]]) {
    field.addEventListener(event, () => { visible = CHUNK; update(); });
  }
  more.firstElementChild.addEventListener("click", () => { visible += 5 * CHUNK; show(); });
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (button) run.open(Number(button.dataset.row));
  });
  box.table = () => ({
    name: box.id,
    columns: columns.filter((one) => one.key).map((one) => one.key),
    rows: run.order.map((row) => columns.filter((one) => one.key).map((one) => one.value(row))),
  });
  part.querySelector(".filters").hidden = false;
  run.changed.push(update);
  update();
}

// The table of classes, at what is asked now.
function readyClasses(run) {
  const box = document.getElementById(`${run.known.key}-classes`);
  if (!box || !run.data.classes) return;
  const table = box.querySelector("table");
  const sorted = { key: "", down: false };
  const update = () => {
    const { measure, bound, threshold } = run.state;
    const { radii, thresholds } = run.known;
    const known = run.data[`of_class|${measure}`];
    const certified = run.data[`of_class|${measure}|${bound}`];
    const place = thresholds[measure].indexOf(threshold);
    const at = (row, j) => certified[(row * thresholds[measure].length + place) * radii.length + j];
    const part = (value) => ({ value, sort: (row) => value(row) / Math.max(known[3 * row], 1), text: (row) => ofAll(value(row), known[3 * row]) });
    const columns = [
      { key: "class", heading: "class", words: true, value: (row) => classWords(run, run.data.classes[row]) },
      { key: "inputs", heading: "inputs", value: (row) => known[3 * row], text: (row) => known[3 * row].toLocaleString("en") },
      { key: "right", heading: "right", ...part((row) => known[3 * row + 1]) },
      { key: "abstained", heading: "abstained", ...part((row) => known[3 * row + 2]) },
      ...radii.map((radius, j) => ({ key: `certified_at_${short(radius)}`, heading: `certified at ${short(radius)}`, ...part((row) => at(row, j)) })),
    ];
    const rows = sortRows([...run.data.classes.keys()], columns, sorted);
    table.caption.textContent = measure === "class" ? "By class, right and class unchanged" : `By class, right and ${measure} > ${short(threshold)} by ${bound}`;
    sortableHead(table, columns, sorted, update);
    table.tBodies[0].replaceChildren(...rows.map((row) => {
      const line = make("tr");
      columns.forEach((column, i) => {
        const cell = make(i ? "td" : "th", column.text ? column.text(row) : column.value(row), line, column.words ? "text" : "");
        if (!i) cell.scope = "row";
      });
      return line;
    }));
    box.table = () => ({ name: box.id, columns: columns.map((one) => one.key), rows: rows.map((row) => columns.map((one) => one.value(row))) });
  };
  run.changed.push(update);
  update();
}
