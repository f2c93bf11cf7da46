// The page of `kemb review`. Every text is put in as text; nothing is asked of anybody but the
// server that the page came from.
"use strict";

const words = JSON.parse(document.getElementById("words").textContent);
const lang = document.documentElement.lang;
const element = (id) => document.getElementById(id);

let ids = [];
let decided = {};
let place = 0;
let shown = null;
let isBusy = false;

/** Ask the server; what it refuses, or cannot do, becomes an error with a sentence. */
async function ask(path, parameters, body) {
  const query = new URLSearchParams({ ...parameters, lang });
  const options = body
    ? {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      }
    : {};
  let answer;
  try {
    answer = await fetch(`${path}?${query}`, options);
  } catch {
    throw new Error(words.no_server);
  }
  if (answer.ok) return answer.json();
  const content = await answer.json().catch(() => ({}));
  throw new Error(content.error || words.no_server);
}

function say(text) {
  element("status").textContent = text;
}

function complain(text) {
  element("error").textContent = text;
  element("error").hidden = !text;
}

function item(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function fill(list, texts) {
  list.replaceChildren(...texts.map((text) => item("li", text)));
  list.hidden = texts.length === 0;
}

function judgeButton(passage, judgment, label, key) {
  const button = item("button", label);
  button.type = "button";
  button.dataset.judgment = judgment;
  button.setAttribute("aria-pressed", String(passage.judgment === judgment));
  button.setAttribute("aria-describedby", `passage-${passage.number}`);
  if (key) button.append(" ", item("kbd", key));
  button.addEventListener("click", () => judge(passage, judgment));
  return button;
}

function passageItem(passage, key) {
  const entry = item("li");
  const name = item("h3", passage.title || passage.id);
  name.id = `passage-${passage.number}`;
  entry.append(name);
  const text = item("p", undefined, "text");
  for (const [piece, isAnswer] of passage.segments) {
    text.append(isAnswer ? item("mark", piece) : piece);
  }
  entry.append(text);
  if (passage.details.length) entry.append(item("p", passage.details.join(" · "), "small"));
  const buttons = item("div", undefined, "buttons");
  buttons.append(
    judgeButton(passage, "right", words.right, key),
    judgeButton(passage, "wrong", words.wrong, key && `⇧${key}`),
  );
  entry.append(buttons);
  return entry;
}

function showPassages() {
  shown.gold.forEach((passage, number) => (passage.number = `g${number}`));
  shown.candidates.forEach((passage, number) => (passage.number = `c${number}`));
  element("gold").replaceChildren(...shown.gold.map((passage) => passageItem(passage, "")));
  const keyOf = (number) => (number < 10 ? String((number + 1) % 10) : "");
  element("candidates").replaceChildren(
    ...shown.candidates.map((passage, number) => passageItem(passage, keyOf(number))),
  );
  element("no-candidates").hidden = shown.candidates.length > 0;
}

function showDecision() {
  element("question").textContent =
    shown.decision === "edit" ? shown.edited : shown.text;
  const pressed = { accept: "accept", reject: "reject", change: "edit" };
  for (const [id, decision] of Object.entries(pressed)) {
    element(id).setAttribute("aria-pressed", String(shown.decision === decision));
  }
  const details = [...shown.details];
  if (shown.decision === "edit") details.push(`${words.was} ${shown.text}`);
  fill(element("details"), details);
}

async function open(number, isFirst) {
  if (!ids.length) return;
  place = (number + ids.length) % ids.length;
  const asked = place;
  let answer;
  try {
    answer = await ask("question", { id: ids[asked] });
  } catch (error) {
    complain(error.message);
    return;
  }
  if (asked !== place) return; // another one was opened meanwhile
  shown = answer;
  complain("");
  element("heading").textContent = shown.heading;
  element("progress").textContent = shown.progress;
  element("edit").hidden = true;
  fill(element("votes"), shown.votes);
  showDecision();
  showPassages();
  element("work").hidden = false;
  if (!isFirst) {
    element("question").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

function openUndecided() {
  for (let step = 1; step <= ids.length; step += 1) {
    const number = (place + step) % ids.length;
    if (!decided[ids[number]]) return open(number);
  }
  say(words.all_decided);
  return Promise.resolve();
}

/** Send a decision; the page moves on only when the server says that it is on the disk. */
async function decide(body) {
  if (isBusy || !shown) return false;
  isBusy = true;
  try {
    const answer = await ask("decide", {}, { query: shown.id, ...body });
    element("progress").textContent = answer.progress;
    complain("");
    return true;
  } catch (error) {
    say("");
    complain(error.message);
    return false;
  } finally {
    isBusy = false;
  }
}

async function decideQuestion(decision, text) {
  const question = shown;
  if (!(await decide(text ? { decision, text } : { decision }))) return;
  if (decision === "none") delete decided[question.id];
  else decided[question.id] = decision;
  question.decision = decision === "none" ? "" : decision;
  question.edited = text || "";
  if (question !== shown) return; // another one was opened meanwhile
  element("edit").hidden = true;
  showDecision();
  say(words[`told_${decision}`]);
  if (decision !== "none") await openUndecided();
}

async function judge(passage, judgment) {
  const question = shown;
  const decision = passage.judgment === judgment ? "unjudged" : judgment;
  if (!(await decide({ decision, document: passage.id }))) return;
  passage.judgment = decision === "unjudged" ? "" : decision;
  if (question !== shown) return;
  const buttons = element(`passage-${passage.number}`).parentElement.querySelectorAll("button");
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(button.dataset.judgment === passage.judgment));
  }
  say(`${passage.title || passage.id}: ${words[`told_${decision}`]}`);
}

function startEdit() {
  if (!shown) return;
  element("new-text").value = shown.decision === "edit" ? shown.edited : shown.text;
  element("edit").hidden = false;
  element("new-text").focus();
}

function saveEdit(event) {
  if (event) event.preventDefault();
  const text = element("new-text").value.trim();
  if (!text || text === shown.text) {
    complain(words.same_text);
    return;
  }
  decideQuestion("edit", text);
}

function cancelEdit() {
  element("edit").hidden = true;
  element("change").focus();
}

const actions = {
  a: () => decideQuestion("accept"),
  x: () => decideQuestion("reject"),
  e: startEdit,
  u: () => decideQuestion("none"),
  n: () => open(place + 1),
  p: () => open(place - 1),
  o: openUndecided,
};

function onKey(event) {
  const isTyping = event.target.matches("textarea, input, select");
  if (event.target.id === "new-text" && event.key === "Escape") cancelEdit();
  if (event.target.id === "new-text" && event.key === "Enter" && event.ctrlKey) saveEdit();
  if (isTyping || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (!element("keys").checked || event.repeat) return;
  const digit = /^Digit([0-9])$/.exec(event.code) || /^Numpad([0-9])$/.exec(event.code);
  const letter = /^Key([A-Z])$/.exec(event.code); // also while Hangul is typed
  if (digit && shown) {
    const passage = shown.candidates[(Number(digit[1]) + 9) % 10];
    if (passage) judge(passage, event.shiftKey ? "wrong" : "right");
  } else if (letter && !event.shiftKey && actions[letter[1].toLowerCase()]) {
    event.preventDefault();
    actions[letter[1].toLowerCase()]();
  }
}

async function start() {
  const clicks = { accept: "a", reject: "x", change: "e", undo: "u", next: "n", previous: "p" };
  for (const [id, key] of Object.entries(clicks)) {
    element(id).addEventListener("click", () => actions[key]());
  }
  element("open").addEventListener("click", () => actions.o());
  element("edit").addEventListener("submit", saveEdit);
  element("cancel").addEventListener("click", cancelEdit);
  document.addEventListener("keydown", onKey);
  try {
    const listing = await ask("questions", {});
    ids = listing.ids;
    decided = listing.decided;
    element("progress").textContent = listing.progress;
  } catch (error) {
    complain(error.message);
    return;
  }
  element("nothing").hidden = ids.length > 0;
  await open(0, true);
}

start();
