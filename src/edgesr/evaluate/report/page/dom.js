"use strict";
/* Elements, text and numbers. Text becomes text nodes only: nothing in the results can become markup. */

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Fill a <select> with [value, label] pairs and select one. */
function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, label]) => element("option", { value }, label)));
  select.value = chosen;
}

/** A metric's figure; the tables write it the same way. */
function figure(value) {
  if (value === null || value === undefined) return "n/a";
  return value.toFixed(Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 10 ? 2 : 3);
}

/** A cost to three significant digits, large ones in thousands, millions and billions. */
function cost(value) {
  for (const [unit, letter] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (value >= unit) return Number((value / unit).toPrecision(3)) + letter;
  }
  return String(Number(value.toPrecision(3)));
}

const share = (value) => `${Math.round(100 * value)} %`;
