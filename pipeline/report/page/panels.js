// The panels beside the video: the answer, elements, people, notes.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const { element, byId } = app;
  // Other readings of an element that are less probable are left to the table of readings.
  const LEAST_CHANCE = 0.05;

  app.showAnswer = ({ index }) => {
    const { answer } = index;
    const [best] = answer.labels;
    let words = answer.words;
    let confidence = "";
    if (answer.error) {
      words = `No label: ${answer.error}`;
    } else if (answer.unknown) {
      words = "Unknown";
      confidence = `It shows none of the actions that the classifier knows. It has most in common with ${best.words}.`;
    } else if (best) {
      confidence = `${best.confidence_words}, ${app.percent(best.confidence)}`;
    }
    byId("answer-words").textContent = words;
    byId("answer-confidence").textContent = confidence;
    const rows = answer.labels.map((label) =>
      element("tr", {}, element("td", {}, label.words), element("td", {}, app.percent(label.confidence))),
    );
    byId("labels").replaceChildren(...rows);
    byId("unknown-note").hidden = !answer.unknown;
    byId("unknown-note").textContent =
      "None of these is the answer: were the clip one of the actions, these would be their chances.";
    byId("labels").closest("section").querySelector("h2").hidden = !rows.length;
    showKnown(index.knows);
  };

  function showKnown({ actions, elements, checkpoint }) {
    const lines = [];
    if (actions.length) {
      lines.push(`The classifier ${checkpoint} knows ${actions.length} actions: ${actions.join(", ")}.`);
    }
    lines.push(`By how a body turns, falls and is held up it knows ${elements.join(", ")}.`);
    lines.push("All else it can only call unknown, or mistake for one of these.");
    byId("knows").replaceChildren(...lines.map((line) => element("p", {}, line)));
  }

  app.showElements = (report, choose) => {
    const { elements } = report.index;
    byId("elements-section").hidden = !elements.length;
    const items = elements.map((found, number) => {
      const who = report.numPeople > 1 ? `, ${app.personName(report, found.person)}` : "";
      const likely = found.alternatives.filter(({ confidence }) => confidence >= LEAST_CHANCE);
      const others = likely.map((other) => `${other.words} ${app.percent(other.confidence)}`);
      const button = element(
        "button",
        { type: "button", class: "item", "data-element": String(number) },
        found.words,
        element("small", {}, `${found.start_seconds.toFixed(2)} to ${found.end_seconds.toFixed(2)} s${who}`),
        element("small", {}, `${found.confidence_words}, ${app.percent(found.confidence)}`),
      );
      if (others.length) button.append(element("small", {}, `or ${others.join("; ")}`));
      button.addEventListener("click", () => choose(number));
      return element("li", {}, button);
    });
    byId("elements").replaceChildren(...items);
  };

  app.markElement = (number) => {
    for (const button of document.querySelectorAll("[data-element]")) {
      button.setAttribute("aria-current", String(Number(button.dataset.element) === number));
    }
  };

  app.showPeople = (report, choose) => {
    const items = report.index.people.map((person, number) => {
      const [best] = person.labels;
      let label = "no label";
      if (person.unknown) label = `unknown (closest: ${best.words})`;
      else if (best) label = `${best.words}, ${best.confidence_words}`;
      const seen = person.seen.reduce((sum, [start, stop]) => sum + stop - start, 0);
      const button = element(
        "button",
        { type: "button", class: "item person", "data-person": String(number), "aria-pressed": "false" },
        element("span", { class: `swatch ${app.personClass(number)}` }),
        `${number + 1} ${app.personName(report, number)}`,
        element("small", {}, label),
        element("small", {}, `seen in ${seen} of ${report.numFrames} frames`),
      );
      button.addEventListener("click", () => choose(number));
      return element("li", {}, button);
    });
    if (!items.length) items.push(element("li", { class: "quiet" }, "No person was found."));
    byId("people").replaceChildren(...items);
  };

  app.markPerson = (report, number) => {
    for (const button of document.querySelectorAll("[data-person]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.person) === number));
    }
    showRelabel(report, number);
  };

  function showRelabel(report, number) {
    const box = byId("relabel");
    const relabel = report.index.people[number]?.relabel;
    box.hidden = number === 0 || !relabel;
    if (box.hidden) return;
    // On a server a button does it; see pipeline/app/page/job.js.
    box.replaceChildren(...(app.labelAgain ?? relabelByCommand)(number, relabel));
  }

  function relabelByCommand(number, relabel) {
    const parts = [element("p", {}, `To label the clip with person ${number + 1} as the athlete, run`)];
    parts.push(element("p", {}, element("code", {}, relabel.command)));
    if (relabel.first_frame !== null) {
      parts.push(element("p", {}, `This person is first seen in frame ${relabel.first_frame}, and the command takes a box of the first frame: the clip then begins there.`));
    }
    if (relabel.list_text !== null) {
      const save = element("button", { type: "button" }, `Save ${relabel.list_name}`);
      save.addEventListener("click", () => app.download(relabel.list_name, relabel.list_text, "text/csv"));
      parts.push(element("p", {}, `It reads ${relabel.list_name}, which goes beside the video.`), save);
    }
    if (navigator.clipboard) {
      const copy = element("button", { type: "button" }, "Copy the command");
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(relabel.command);
        copy.textContent = "Copied";
      });
      parts.push(copy);
    }
    return parts;
  }

  // Notes on frames, kept by the browser.
  class Notes {
    constructor(report, goTo) {
      this.report = report;
      this.goTo = goTo;
      this.key = `skelact notes ${report.index.id}`;
      this.notes = [];
      try {
        this.notes = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      } catch {
        this.warn();
      }
      this.show();
    }

    warn() {
      byId("notes-kept").textContent = "This browser does not keep notes when the page is closed: download them.";
      byId("notes-kept").hidden = false;
    }

    add(frame, text) {
      this.notes.push({ frame: this.report.frameInds[frame], seconds: this.report.seconds[frame], text });
      this.notes.sort((one, other) => one.frame - other.frame);
      this.keep();
    }

    remove(note) {
      this.notes.splice(this.notes.indexOf(note), 1);
      this.keep();
    }

    keep() {
      try {
        localStorage.setItem(this.key, JSON.stringify(this.notes));
      } catch {
        this.warn();
      }
      this.show();
    }

    show() {
      const items = this.notes.map((note) => {
        const go = element("button", { type: "button", class: "item" }, note.text, element("small", {}, `frame ${note.frame}, ${app.clock(note.seconds)}`));
        go.addEventListener("click", () => this.goTo(this.report.frameOfSeconds(note.seconds)));
        const remove = element("button", { type: "button", "aria-label": `Delete the note on frame ${note.frame}` }, "×");
        remove.addEventListener("click", () => this.remove(note));
        return element("li", { class: "note-line" }, go, remove);
      });
      byId("notes").replaceChildren(...items);
      byId("notes-json").hidden = !items.length;
    }
  }

  app.Notes = Notes;
})();
