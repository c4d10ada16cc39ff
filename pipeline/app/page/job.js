// What the page of a report does beside its own when the app serves it.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const job = location.pathname.split("/")[2];

  // In place of the command: a button. panels.js asks for it.
  app.labelAgain = (number, relabel) => {
    const { element } = app;
    const parts = [element("p", {}, `Label the clip with person ${number + 1} as the athlete?`)];
    if (relabel.first_frame !== null) {
      parts.push(element("p", {}, `This person is first seen in frame ${relabel.first_frame}: the clip then begins there.`));
    }
    const button = element("button", { type: "button", id: "label-again" }, "Label again");
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await app.ask("POST", `/api/jobs/${job}/people/${number}/again`);
        location.assign("/");
      } catch (error) {
        app.say(error.message);
        button.disabled = false;
      }
    });
    return [...parts, button];
  };

  // The report of another job, for the comparison; see data.js.
  class ServedFiles {
    constructor(id) {
      this.folder = `/jobs/${id}`;
    }

    async read(name) {
      const answer = await fetch(`${this.folder}/data/${name}.js`);
      if (!answer.ok) throw new Error("it is not there any more");
      return app.parseData(name, await answer.text());
    }

    async video(name) {
      return `${this.folder}/${name}`;
    }
  }

  async function offerOtherClips() {
    const { jobs } = await app.ask("GET", "/api/jobs");
    const others = jobs.filter(({ id, state }) => state === "done" && id !== job);
    if (!others.length) return;
    const options = others.map((other) => app.element("option", { value: other.id }, app.jobName(other)));
    const choice = app.element("select", { id: "second-clip" }, app.element("option", { value: "" }, "Choose a clip"), ...options);
    choice.addEventListener("change", () => {
      if (choice.value) app.page.comparison.choose(new ServedFiles(choice.value));
      else app.page.comparison.close();
    });
    app.byId("second-close").addEventListener("click", () => (choice.value = ""));
    app.byId("compare-hint").before(app.element("p", {}, app.element("label", {}, "Another clip of the app ", choice)));
    app.byId("compare-hint").textContent = "Or choose the folder of a report.";
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelector("header.top").append(app.element("a", { href: "/" }, "All clips"));
    offerOtherClips().catch((error) => app.say(error.message));
  });
})();
