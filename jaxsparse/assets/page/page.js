"use strict";
// Draws the state. Whatever comes from the data is set as text, never as HTML.

const PER_PAGE = 50;
const BLANK = "XXXXX";
const STYLES = {
  ptb: "its tokens made running text (detokenize ptb).",
  none: "its tokens as they stand (detokenize none).",
};
const CONTEXTS = {
  full: "Story and query as the model read them,",
  last: "The model read the last sentence and the query,",
  query: "The model read the query alone,",
};
// protocol -> where an option stands, its share of the probability, its score, and what
// bars mean
const PROTOCOLS = {
  cloze: {
    inBlank: true,
    shares: (scores) => parts(scores.map((score) => Math.exp(score - Math.max(...scores)))),
    text: (score) => score.toFixed(2),
    bars: "share of probability among the options (softmax of the scores); numbers: scores, nats",
  },
  append: {
    inBlank: false, // but behind the query, whose blank stays
    shares: (scores) => parts(scores),
    text: (score) => String(Number(score.toPrecision(2))),
    bars: "share of the sum of the scores; numbers: scores, probabilities",
  },
};

function parts(values) {
  const sum = values.reduce((total, value) => total + value, 0);
  return values.map((value) => (sum > 0 ? value / sum : 0));
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // strings become text
  return made;
}

/** Replaces the children, and keeps the focus on the current one if it was inside. */
function refill(parent, ...children) {
  const hadFocus = parent.contains(document.activeElement);
  parent.replaceChildren(...children);
  const current = parent.querySelector("[aria-current], [aria-pressed=true]");
  if (hadFocus && current) current.focus({ preventScroll: true });
}

function choose(id, choices, chosen) {
  byId(id).replaceChildren(
    ...choices.map(([value, text]) => element("option", { value }, text)),
  );
  byId(id).value = chosen;
}

const ORDINALS = { one: "st", two: "nd", few: "rd", other: "th" };
const ordinal = (number) =>
  `${number}${ORDINALS[new Intl.PluralRules("en", { type: "ordinal" }).select(number)]}`;
const percent = (fraction) => `${(100 * fraction).toFixed(1)} %`;
const kind = (right) => (right ? "right" : "wrong");
const verdict = (right) =>
  element("span", { class: kind(right) }, right ? "✓ right" : "✗ wrong");

function render(found) {
  renderControls();
  renderSteps(found);
  renderList(found);
  byId("detail").hidden = !found.length;
  if (found.length) renderDetail(found);
}

function renderControls() {
  const { model, points } = curve();
  const numbers = [...curves.keys()];
  const ofModel = numbers.filter((number) => curves[number].model === model);
  const models = [...new Set(curves.map((one) => one.model))];
  choose("model", models.map((name) => [name, name]), model);
  choose("label", ofModel.map((number) => [number, curves[number].label]), state.curve);
  const labelled = points.map((one, number) => [
    number,
    `${one.sparsity}${one.sparsity ? "" : " (dense)"}: ${one.accuracy}`,
  ]);
  choose("sparsity", labelled, state.point);
  const classes = wordClasses.map((name) => [
    name,
    Object.hasOwn(classNames, name) ? `${name}, ${classNames[name]}` : name,
  ]);
  choose("class", classes, state.wordClass);
  byId("show").value = state.show;
  for (const option of byId("show").options) {
    option.disabled = ["lost", "gained"].includes(option.value) && !hasDense();
  }
  byId("no-dense").hidden = hasDense();
  if (byId("search").value.trim() !== state.search) byId("search").value = state.search;
}

function renderSteps(found) {
  const lost = hasDense() ? matching("lost").length : 0;
  const at = found.indexOf(state.question);
  byId("previous").disabled = at <= 0;
  byId("next").disabled = !found.length || at === found.length - 1;
  byId("next-lost").disabled = !lost;
  byId("next-lost").textContent = `next lost (${lost})`;
  byId("count").textContent = `${found.length} of ${questions.length} questions${searched(found)}`;
}

/** How often the questions in the list have what is searched. */
function searched(found) {
  if (!state.search) return "";
  const times = found.reduce((sum, number) => sum + occurrences(number), 0);
  return `; “${state.search}” begins a word ${times} ${times === 1 ? "time" : "times"}`;
}

function renderList(found) {
  const first = Math.floor(Math.max(0, found.indexOf(state.question)) / PER_PAGE) * PER_PAGE;
  const pages = [];
  for (let start = 0; start < found.length; start += PER_PAGE) {
    const end = Math.min(start + PER_PAGE, found.length);
    pages.push([found[start], `${start + 1}–${end} of ${found.length}`]);
  }
  choose("page", pages, found[first]);
  byId("page-label").hidden = pages.length < 2;
  const list = byId("list");
  list.hidden = !found.length;
  refill(list, ...found.slice(first, first + PER_PAGE).map(listItem));
  const current = list.querySelector("[aria-current]");
  // Not scrollIntoView, which would also scroll the page.
  if (current) list.scrollTop = current.offsetTop - list.clientHeight / 2;
}

function listItem(number) {
  const right = isRight(number, curve().points[state.point]);
  const mark = element("span", { class: kind(right) }, right ? "✓ " : "✗ ");
  mark.append(changed(number));
  const button = element("button", { type: "button" }, `${questions[number].id} `, mark);
  if (number === state.question) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => change({ question: number }));
  return element("li", {}, button);
}

function renderDetail(found) {
  const { id, word_class } = questions[state.question];
  const { sentences } = textOf(state.question);
  const place = `${found.indexOf(state.question) + 1} of ${found.length}`;
  byId("name").textContent = `${id} · ${word_class} · ${place}`;
  const { context, style } = curve();
  const read = { full: 0, last: sentences.length - 1 }[context] ?? sentences.length;
  const items = sentences.map((sentence, number) =>
    element("li", number < read ? { class: "unread" } : {}, ...marked(sentence)),
  );
  byId("story").replaceChildren(...items);
  byId("story-box").hidden = sentences.length === 0;
  const how = STYLES[styles[style]] ?? `in style ${styles[style]}.`;
  byId("read").textContent = `${CONTEXTS[context] ?? `Context ${context},`} ${how}`;
  renderQuery();
  renderVerdict();
  renderMatrix();
}

/** The texts of the answer, and of the option chosen at this sparsity. */
function answerAndChosen() {
  const { options } = textOf(state.question);
  const { predicted } = curve().points[state.point];
  return [options[questions[state.question].answers[0]], options[predicted[state.question]]];
}

/** A sentence, in which whole words that equal the answer or the chosen option are
 * marked, in any case of letters, and beginnings of words that are searched. */
function marked(sentence) {
  const [answer, chosen] = answerAndChosen();
  const [outside, inside] = ["(?<![\\p{L}\\p{N}])", "(?![\\p{L}\\p{N}])"];
  const search = state.search ? `|${quoted(state.search)}` : "";
  const either = `(?:${quoted(answer)}|${quoted(chosen)})${inside}`;
  const words = new RegExp(`${outside}(${either}${search})`, "iu");
  return sentence.split(words).map((part, index) => {
    if (index % 2 === 0) return part;
    const kinds = { [chosen.toLowerCase()]: "chosen", [answer.toLowerCase()]: "answer" };
    return element("mark", { class: kinds[part.toLowerCase()] ?? "found" }, part);
  });
}

/** The query with the chosen option where the protocol puts it. */
function renderQuery() {
  const [before, after] = textOf(state.question).query.split(BLANK);
  const [, chosen] = answerAndChosen();
  const right = isRight(state.question, curve().points[state.point]);
  const option = element("strong", { class: `blank ${kind(right)}` }, `${chosen} ${right ? "✓" : "✗"}`);
  const parts = PROTOCOLS[curve().protocol].inBlank
    ? [before, option, after]
    : [`${before}${BLANK}${after} `, option];
  byId("query").replaceChildren(...parts);
}

function renderVerdict() {
  const number = state.question;
  const { options } = textOf(number);
  const { points } = curve();
  const [answer, chosen] = answerAndChosen();
  const { sparsity, places } = points[state.point];
  const right = isRight(number, points[state.point]);
  const line = [sparsity ? `At sparsity ${sparsity}: ${chosen}, ` : `Dense: ${chosen}, `];
  line.push(verdict(right));
  if (!right) line.push(`; the answer is ${answer}, ${ordinal(places[number])} of ${options.length}`);
  if (hasDense() && state.point) {
    const dense = options[points[0].predicted[number]];
    line.push(`. Dense: ${dense}, `, verdict(isRight(number, points[0])));
    if (changed(number)) line.push(`: ${changed(number)}`);
  }
  byId("verdict").replaceChildren(...line, ".");
}

function renderMatrix() {
  const { points, protocol } = curve();
  const { options } = textOf(state.question);
  const { shares, bars } = PROTOCOLS[protocol];
  const ofPoints = points.map((point) => shares(point.scores[state.question]));
  const corner = element("th", { scope: "col" }, "sparsity", element("small", {}, "accuracy"));
  const head = element("tr", {}, corner, ...points.map(matrixHead));
  const rows = options.map((option, row) => {
    const isAnswer = questions[state.question].answers.includes(row);
    const name = element("th", { scope: "row" }, isAnswer ? `✓ ${option}` : option);
    if (isAnswer) name.append(element("small", {}, "answer"));
    const cells = points.map((_, column) => cell(row, column, ofPoints[column][row]));
    return element("tr", isAnswer ? { class: "answer" } : {}, name, ...cells);
  });
  const parts = { thead: [head], tbody: rows, tfoot: [placesRow()] };
  refill(
    byId("matrix"),
    ...Object.entries(parts).map(([name, filling]) => element(name, {}, ...filling)),
  );
  byId("bars").textContent = bars;
  showColumn(head.children[state.point + 1], corner.offsetWidth);
}

/** Where the answer stands among the options by their scores. */
function placesRow() {
  const name = element("th", { scope: "row" }, "the answer's place");
  const cells = curve().points.map(({ places }, column) =>
    element("td", { class: selected(column) }, ordinal(places[state.question])),
  );
  return element("tr", {}, name, ...cells);
}

/** Scrolls a column to the middle of what the first column leaves free. */
function showColumn(column, taken) {
  const box = byId("matrix-box");
  const middle = column.offsetLeft + column.offsetWidth / 2;
  box.scrollLeft = middle - (box.clientWidth + taken) / 2;
}

const selected = (column) => (column === state.point ? "selected" : "");

function matrixHead({ sparsity, accuracy }, column) {
  const pressed = column === state.point;
  const text = sparsity ? String(sparsity) : "dense";
  const button = element("button", { type: "button", "aria-pressed": pressed }, text);
  button.append(element("small", {}, accuracy));
  button.addEventListener("click", () => change({ point: column }));
  return element("th", { scope: "col", class: selected(column) }, button);
}

function cell(row, column, share) {
  const point = curve().points[column];
  const score = point.scores[state.question][row];
  const bar = element("span", { class: "bar" });
  bar.style.width = `${100 * share}%`;
  const number = element("small", {}, PROTOCOLS[curve().protocol].text(score));
  if (point.predicted[state.question] === row) {
    number.prepend(element("span", { class: "predicted" }, "● "));
    bar.classList.add("chosen");
  }
  const title = `share ${percent(share)}, score ${score}`;
  const track = element("span", { class: "track" }, bar);
  return element("td", { title, class: selected(column) }, track, number);
}

// Hands and keys

function listen() {
  const on = (id, act) => byId(id).addEventListener("change", (event) => act(event.target.value));
  on("model", changeModel);
  on("label", (number) => changeCurve(Number(number)));
  on("sparsity", (number) => change({ point: Number(number) }));
  on("class", (wordClass) => change({ wordClass }));
  on("show", (show) => change({ show }));
  byId("search").addEventListener("input", (event) => change({ search: event.target.value.trim() }));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  on("page", (number) => change({ question: Number(number) }));
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("next-lost").addEventListener("click", nextLost);
  const keys = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), n: nextLost };
  document.addEventListener("keydown", (event) => {
    const isTaken = event.target.matches("select, input, .scroll, .point");
    if (isTaken || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (Object.hasOwn(keys, event.key)) keys[event.key]();
  });
  window.addEventListener("hashchange", follow);
}

function start() {
  byId("explorer").hidden = false;
  byId("story-box").open = matchMedia("(min-width: 45rem)").matches;
  listen();
  if (!follow()) render(matching("all")); // the address stays until a hand changes it
}

if (curves.length && questions.length) start();
else byId("nothing").hidden = false;
