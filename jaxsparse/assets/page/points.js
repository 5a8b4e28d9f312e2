"use strict";
// The points of the curves: their values under the pointer and at the focus, arrow keys
// from one to the next, and the way from a point to its questions.

const tip = element("div", { id: "tip", role: "tooltip", hidden: "" });
const pointOf = (event) => event.target.closest?.(".point");
const said = new WeakMap(); // point -> its values, line by line
let current = null; // the point whose values are shown
let touched = null; // the same, when a finger came down

/** What a point says is its title at first, which needs no script; a browser's own
 * tooltip would come in the way of ours. */
function prepare(svg) {
  for (const [number, point] of [...svg.querySelectorAll(".point")].entries()) {
    const title = point.querySelector("title");
    said.set(point, title.textContent.split("\n"));
    point.setAttribute("aria-label", said.get(point).join("; "));
    point.setAttribute("tabindex", number ? -1 : 0); // arrows lead to the others
    title.remove();
  }
}

/** The points of other lines that lie under this one. */
function hiddenBy(point) {
  const place = point.getAttribute("transform");
  const all = [...point.ownerSVGElement.querySelectorAll(".point")];
  return all.filter((one) => one !== point && one.getAttribute("transform") === place);
}

function show(point) {
  hide();
  current = point;
  const [name, ...values] = said.get(point);
  const others = hiddenBy(point).map((one) => said.get(one)[0]);
  tip.replaceChildren(
    ...[name, ...others].map((text) => element("strong", {}, text)),
    ...values.map((text) => element("span", {}, text)),
  );
  tip.hidden = false;
  place(point.getBoundingClientRect());
  const address = point.getAttribute("href");
  for (const one of point.closest("figure").querySelectorAll(".point")) {
    one.classList.toggle("shown", one.getAttribute("href") === address); // in both axes
  }
}

/** Above the point, or below it, within the window. */
function place({ left, right, top, bottom }) {
  const { width, height } = tip.getBoundingClientRect();
  const middle = (left + right - width) / 2;
  const widest = document.documentElement.clientWidth - width - 4;
  tip.style.left = `${Math.max(4, Math.min(middle, widest))}px`;
  tip.style.top = `${top - height < 4 ? bottom + 2 : top - height - 2}px`;
}

function hide() {
  current = null;
  tip.hidden = true;
  for (const one of document.querySelectorAll(".point.shown")) one.classList.remove("shown");
}

/** What moves is left behind, but for the point at the focus. */
function scrolled() {
  if (current && current === document.activeElement) place(current.getBoundingClientRect());
  else if (current) hide();
}

/** The point that an arrow leads to: along its line, or to another line. */
function neighbour(point, key) {
  const group = point.parentNode;
  const at = [...group.children].indexOf(point);
  if (key === "ArrowLeft") return group.children[at - 1];
  if (key === "ArrowRight") return group.children[at + 1];
  const groups = [...group.parentNode.querySelectorAll(".points")];
  const other = groups[groups.indexOf(group) + { ArrowUp: -1, ArrowDown: 1 }[key]];
  return other?.children[Math.min(at, other.children.length - 1)];
}

function move(event) {
  const point = pointOf(event);
  if (event.key === "Escape") hide();
  if (!point || !event.key.startsWith("Arrow")) return;
  event.preventDefault();
  const next = neighbour(point, event.key);
  if (!next) return;
  point.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
}

/** Goes to the questions of a point; a finger's first touch only shows its values. */
function go(event) {
  const point = pointOf(event);
  if (!point || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (event.pointerType === "touch" && touched !== point) {
    show(point);
    return;
  }
  hide();
  history.pushState(null, "", point.getAttribute("href"));
  if (curves.length && questions.length) follow();
}

function listenToPoints() {
  const on = (name, act) => document.addEventListener(name, act);
  on("pointerdown", () => (touched = current));
  on("pointerover", (event) => (pointOf(event) ? show(pointOf(event)) : hide()));
  on("focusin", (event) => pointOf(event)?.matches(":focus-visible") && show(pointOf(event)));
  on("focusout", hide);
  on("keydown", move);
  on("click", go);
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });
}

document.querySelectorAll(".chart figure svg").forEach(prepare);
document.body.append(tip);
listenToPoints();
