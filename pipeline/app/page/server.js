// What the server is asked for.
"use strict";

(() => {
  const app = (window.skelact ??= {});

  // The answer as values; a refusal is thrown as an Error with the server's reason.
  app.ask = async (method, path) => {
    let answer;
    try {
      answer = await fetch(path, { method });
    } catch {
      throw new Error("The app does not answer: it may have been stopped.");
    }
    if (!answer.ok) throw new Error(app.reason(await answer.text()));
    return answer.status === 204 ? null : answer.json();
  };

  app.jobName = ({ name, person }) => (person === null ? name : `${name}, person ${person} as the athlete`);

  // Why the server refused: {"error": "..."}, or plain text.
  app.reason = (text) => {
    try {
      return JSON.parse(text).error;
    } catch {
      return text || "The app refused without a word.";
    }
  };
})();
