// The page: what is asked, by measure, bound, radius and threshold, and everything that follows it.
const runs = [];

function choicesOf(run) {
  return {
    measure: run.known.measures,
    bound: run.known.bounds,
    radius: run.known.radii,
    threshold: run.known.thresholds[run.state.measure],
  };
}

function fillSelect(field, values, chosen) {
  field.autocomplete = "off";
  field.replaceChildren();
  for (const [i, value] of values.entries()) {
    const option = make("option", typeof value === "number" ? short(value) : value, field);
    option.value = String(i);
    option.selected = value === chosen;
  }
}

function setState(run, name, value) {
  const before = run.known.thresholds[run.state.measure];
  run.state[name] = value;
  const own = run.known.thresholds[run.state.measure];
  if (!own.includes(run.state.threshold)) { // another measure: the same threshold if it has it, else about the same place
    run.state.threshold = own[Math.min(before.indexOf(run.state.threshold), own.length - 1)];
  }
  for (const update of run.changed) update();
  if (opened && opened.run === run) showOpened();
}

// The first sentence asks: its numbers and names become fields.
function readySentence(run) {
  const answer = run.section.querySelector("[data-answer]");
  const fields = {};
  for (const name of Object.keys(choicesOf(run))) {
    const field = make("select");
    field.setAttribute("aria-label", name);
    field.addEventListener("change", () => setState(run, name, choicesOf(run)[name][Number(field.value)]));
    const printed = make("span", undefined, undefined, "print-only");
    answer.querySelector(`[data-ask="${name}"]`).replaceChildren(field, printed);
    fields[name] = [field, printed];
  }
  const update = () => {
    const { known, state } = run;
    for (const [name, values] of Object.entries(choicesOf(run))) {
      fillSelect(fields[name][0], values, state[name]);
      fields[name][1].textContent = typeof state[name] === "number" ? short(state[name]) : state[name];
    }
    const rows = known.answers[`${state.measure}|${state.bound}`];
    const place = known.thresholds[state.measure].indexOf(state.threshold) * known.radii.length + known.radii.indexOf(state.radius);
    const [value, interval, least, , , , , inputs] = rows[place];
    answer.querySelector("[data-value]").textContent = value;
    answer.querySelector("[data-interval]").textContent = interval;
    answer.querySelector("[data-least]").textContent = least;
    answer.querySelector("[data-inputs-of]").textContent = counted(inputs, "input");
    const scope = run.section.querySelector(".scope");
    if (scope) scope.textContent = `${state.bound} bound this holds ${known.scopes[state.bound]}`;
  };
  run.changed.push(update);
  update();
}

// Tables at each radius: one for each measure, by the bound that is asked.
function readyShares(run) {
  for (const box of run.section.querySelectorAll("[data-shares]")) {
    const measure = box.dataset.measure;
    const { known } = run;
    const cuts = known.shown[measure];
    const at = (cut, j) => known.answers[`${measure}|${run.state.bound}`][known.thresholds[measure].indexOf(cut) * known.radii.length + j];
    run.changed.push(() => {
      box.querySelector("[data-bound]").textContent = run.state.bound;
      known.radii.forEach((_, j) => cuts.forEach((cut, i) => {
        const cell = box.querySelector("tbody").rows[j].cells[i + 1];
        const [value, interval, least] = at(cut, j);
        cell.replaceChildren(make("b", value), " ", make("small", interval), " ", make("small", `≥ ${least}`, undefined, "least"));
      }));
    });
    box.table = () => ({
      name: box.id,
      columns: ["measure", "bound", "threshold", "radius", "certified_accuracy", "ci_low", "ci_high", "population_lower", "inputs"],
      rows: cuts.flatMap((cut) => known.radii.map((radius, j) => [measure, run.state.bound, cut, radius, ...at(cut, j).slice(3)])),
    });
  }
}

document.documentElement.classList.add("live");
for (const section of document.querySelectorAll("section.run")) {
  const source = section.querySelector("script.known");
  if (!source) continue;
  const known = JSON.parse(source.textContent);
  const [measure, bound, radius, threshold] = known.start;
  const run = { section, known, state: { measure, bound, radius, threshold }, changed: [], order: [] };
  run.open = (row) => openInput(run, row);
  runs.push(run);
  readySentence(run);
  readyShares(run);
  run.changed.push(() => {
    for (const part of section.querySelectorAll("[data-measure]")) part.hidden = part.dataset.measure !== run.state.measure;
  });
  run.changed.at(-1)();
}
for (const chart of document.querySelectorAll(".chart-box")) readyFigure(chart);
for (const run of runs) run.changed.at(-1)(); // legends were made anew
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-save]");
  if (!button) return;
  const [figure, box] = [button.closest(".chart-box"), button.closest(".tabled")];
  if (figure) saveFigure(figure, button.dataset.save);
  else saveTable(box.table ? box.table() : JSON.parse(box.querySelector("script.data").textContent), button.dataset.save);
});
readyDialog();
Promise.all(runs.map(async (run) => {
  run.data = await unpack(run.section.querySelector("script.packed").textContent);
  readyInputs(run);
  readyClasses(run);
})).then(() => {
  document.documentElement.classList.add("ready");
  openAt(location.hash);
});
