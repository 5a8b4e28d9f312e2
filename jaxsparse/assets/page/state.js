"use strict";
// What the explorer shows: the data, one state, and the address that keeps it.

// Whether a question is shown, by whether it is right here and right in dense.
const SHOWN = {
  all: () => true,
  right: (here) => here,
  wrong: (here) => !here,
  lost: (here, dense) => dense && !here,
  gained: (here, dense) => !dense && here,
};
const byId = (id) => document.getElementById(id);
const { questions, curves, styles, opening, classNames } = JSON.parse(byId("data").textContent);
const wordClasses = ["all", ...new Set(questions.map((one) => one.word_class))];
const state = { ...opening, wordClass: "all", show: "all", search: "", question: 0 };

const curve = () => curves[state.curve];
const hasDense = () => curve().points[0].sparsity === 0;

const isRight = (number, point) => questions[number].answers.includes(point.predicted[number]);
/** A question as the model of the curve has read it. */
const textOf = (number) => questions[number].texts[curve().style];

/** "lost", "gained" or "", against dense. */
function changed(number) {
  if (!hasDense()) return "";
  const here = isRight(number, curve().points[state.point]);
  const dense = isRight(number, curve().points[0]);
  return here === dense ? "" : dense ? "lost" : "gained";
}

const quoted = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** How often words that begin with what is searched stand in a question. */
function occurrences(number) {
  const { sentences, query, options } = textOf(number);
  const words = new RegExp(`(?<![\\p{L}\\p{N}])${quoted(state.search)}`, "giu");
  return [...sentences, query, ...options].join("\n").match(words)?.length ?? 0;
}

/** The numbers of the questions that the filters let through. */
function matching(show) {
  const { points } = curve();
  return [...questions.keys()].filter(
    (number) =>
      ["all", questions[number].word_class].includes(state.wordClass) &&
      SHOWN[show](isRight(number, points[state.point]), isRight(number, points[0])) &&
      (!state.search || occurrences(number)),
  );
}

/** Changes the state, then whatever no longer fits it, then the page. */
function change(update) {
  Object.assign(state, update);
  if (!hasDense() && ["lost", "gained"].includes(state.show)) state.show = "all";
  const found = matching(state.show);
  if (!found.includes(state.question) && found.length) {
    state.question = found.find((number) => number > state.question) ?? found[0];
  }
  render(found);
  writeAddress(found);
}

/** Another curve, at the same sparsity if it has that, else at its first. */
function changeCurve(number) {
  const { sparsity } = curve().points[state.point];
  const same = curves[number].points.findIndex((one) => one.sparsity === sparsity);
  change({ curve: number, point: Math.max(0, same) });
}

/** Another model, at the same protocol and method if it has them. */
function changeModel(model) {
  const ofModel = curves.filter((one) => one.model === model);
  const same = ofModel.find((one) => one.label === curve().label);
  changeCurve(curves.indexOf(same ?? ofModel[0]));
}

function step(by) {
  const found = matching(state.show);
  const next = found[found.indexOf(state.question) + by];
  if (next !== undefined) change({ question: next });
}

function nextLost() {
  const lost = hasDense() ? matching("lost") : [];
  if (!lost.length) return;
  const question = lost.find((number) => number > state.question) ?? lost[0];
  const hides = ["right", "gained"].includes(state.show);
  change({ question, show: hides ? "lost" : state.show });
}

// The address

function writeAddress(found) {
  const asked = new URLSearchParams({
    model: curve().model,
    label: curve().label,
    sparsity: curve().points[state.point].sparsity,
    class: state.wordClass,
    show: state.show,
  });
  if (state.search) asked.set("search", state.search);
  if (found.length) asked.set("question", questions[state.question].id);
  history.replaceState(null, "", `#${asked}`);
}

/** The state that an address asks for, or null if there is no such state here. */
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const is = (name, value) => asked.get(name) === String(value);
  const curve = curves.findIndex((one) => is("model", one.model) && is("label", one.label));
  if (curve < 0) return null;
  const sparsity = Number.parseFloat(asked.get("sparsity"));
  const point = curves[curve].points.findIndex((one) => one.sparsity === sparsity);
  const question = questions.findIndex((one) => is("question", one.id));
  const wordClass = asked.get("class");
  const show = asked.get("show");
  const isKnown =
    point >= 0 &&
    (question >= 0 || !asked.has("question")) &&
    wordClasses.includes(wordClass) &&
    Object.hasOwn(SHOWN, show);
  const search = (asked.get("search") ?? "").trim();
  return isKnown ? { curve, point, wordClass, show, search, question } : null;
}

/** Goes where the address says; false if it says nothing that is here. */
function follow() {
  const asked = readAddress();
  if (!asked) return false;
  change(asked);
  const isHidden = asked.question >= 0 && asked.question !== state.question;
  // The question counts more than what would hide it.
  if (isHidden) change({ ...asked, wordClass: "all", show: "all", search: "" });
  byId("questions").scrollIntoView();
  return true;
}
