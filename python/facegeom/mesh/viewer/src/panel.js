// The control panel: switches, and a slider for each blendshape, in collapsible groups that a search field filters.

const GROUPS = [
  ["Brows", /^brow/],
  ["Eyes", /^eye/],
  ["Cheeks and nose", /^(cheek|nose)/],
  ["Jaw", /^jaw/],
  ["Mouth", /^mouth/],
  ["Other", /^/],
];

const byId = (id) => document.getElementById(id);

export function connectPanel(head, stage) {
  const [wireframe, seen] = [byId("wireframe"), byId("seen")];
  const display = () => {
    head.showWires(wireframe.checked);
    head.showSeen(seen.checked);
    byId("legend").hidden = !seen.checked;
    stage.request();
  };
  seen.disabled = !head.hasSeen;
  wireframe.addEventListener("change", display);
  seen.addEventListener("change", display);
  display(); // browsers may restore the state of the switches on reload
  byId("reset-view").addEventListener("click", () => stage.resetView());
  if (head.initial.size) connectExpression(head, stage);
}

function connectExpression(head, stage) {
  const rows = new Map([...head.initial].map(([name, weight]) => [name, slider(name, weight)]));
  const set = (changes) => {
    head.setWeights(changes);
    for (const [name, weight] of changes) rows.get(name).show(weight);
    stage.request();
  };
  for (const [name, { input }] of rows) input.addEventListener("input", () => set([[name, Number(input.value)]]));

  const groups = byId("groups");
  const left = new Set(rows.keys());
  for (const [title, pattern] of GROUPS) {
    const names = [...left].filter((name) => pattern.test(name));
    if (!names.length) continue;
    for (const name of names) left.delete(name);
    groups.append(group(title, names.map((name) => rows.get(name).element)));
  }

  byId("reset").addEventListener("click", () => set([...head.initial]));
  const neutral = byId("neutral");
  neutral.hidden = [...head.initial.values()].every((weight) => weight === 0); // then Reset does the same
  neutral.addEventListener("click", () => set([...rows.keys()].map((name) => [name, 0])));
  byId("search").addEventListener("input", (event) => narrow(groups, event.target.value));
  byId("expression").hidden = false;
}

// Returns a labelled slider; `name` is the name of the blendshape in the GLB file, an ARKit name.
function slider(name, weight) {
  const element = document.createElement("div");
  const label = document.createElement("label");
  const output = document.createElement("output");
  const input = document.createElement("input");
  element.className = "slider";
  element.title = name;
  input.id = `shape-${name}`;
  label.htmlFor = output.htmlFor = input.id;
  label.textContent = readable(name);
  element.dataset.words = `${name} ${label.textContent}`.toLowerCase();
  Object.assign(input, { type: "range", min: Math.min(0, weight), max: Math.max(1, weight), step: 0.01 });
  input.setAttribute("autocomplete", "off");
  element.append(label, output, input);
  const show = (value) => {
    input.value = value;
    output.textContent = value.toFixed(2);
  };
  show(weight);
  return { element, input, show };
}

function group(title, elements) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const count = document.createElement("span");
  count.textContent = ` ${elements.length}`;
  summary.append(title, count);
  details.append(summary, ...elements);
  return details;
}

// "mouthSmileLeft" -> "Mouth smile left"
function readable(name) {
  const words = name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

// Shows the sliders whose name contains every word of the query; groups are open while the query is not empty.
function narrow(groups, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const details of groups.children) {
    let here = 0;
    for (const element of details.querySelectorAll(".slider")) {
      element.hidden = !words.every((word) => element.dataset.words.includes(word));
      here += !element.hidden;
    }
    details.hidden = !here;
    details.open = words.length > 0;
    found += here;
  }
  byId("nothing").hidden = found > 0;
}
