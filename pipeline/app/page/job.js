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
        await app.ask("POST", `/api/jobs/${job}/again`, { person: number });
        location.assign("/");
      } catch (error) {
        app.say(error.message);
        button.disabled = false;
      }
    });
    return [...parts, button];
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelector("header.top").append(app.element("a", { href: "/" }, "All clips"));
  });
})();
