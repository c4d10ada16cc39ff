// The clips of the app: what is queued, what runs and how far it is, what is done.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const { byId, element } = app;
  // Often enough for a bar that moves; seldom where nothing does, for what another tab changed.
  const BUSY_MILLISECONDS = 500;
  const IDLE_MILLISECONDS = 4000;

  class Jobs {
    constructor() {
      this.uploads = app.openUploads(() => this.refresh());
      this.shown = new Map();
      this.timer = 0;
    }

    async refresh() {
      clearTimeout(this.timer);
      let wait = IDLE_MILLISECONDS;
      try {
        const { jobs, program, max_bytes: maxBytes } = await app.ask("GET", "/api/jobs");
        byId("program").textContent = program;
        this.uploads.limit(maxBytes);
        this.show(jobs);
        app.say("");
        if (jobs.some(({ state }) => state === "queued" || state === "running")) wait = BUSY_MILLISECONDS;
      } catch (error) {
        app.say(error.message);
      }
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.refresh(), wait);
    }

    // Lines that are as they were stay, so that what is in focus does.
    show(jobs) {
      const lines = jobs.map((job) => {
        const text = JSON.stringify({ ...job, progress: null });
        let line = this.shown.get(job.id);
        if (line?.text !== text) line = { text, made: this.line(job) };
        this.shown.set(job.id, line);
        showProgress(line.made, job);
        return line.made;
      });
      const list = byId("jobs");
      if (lines.length !== list.children.length || lines.some((line, number) => line !== list.children[number])) {
        const focused = document.activeElement?.dataset.focus;
        list.replaceChildren(...lines);
        if (focused) list.querySelector(`[data-focus="${focused}"]`)?.focus();
      }
      for (const id of this.shown.keys()) if (!jobs.some((job) => job.id === id)) this.shown.delete(id);
      byId("no-jobs").hidden = jobs.length > 0;
    }

    line(job) {
      const name = app.jobName(job);
      const title = job.state === "done" ? element("a", { href: `/jobs/${job.id}/` }, name) : name;
      const buttons = element("div", { class: "buttons" });
      const add = (words, act) => {
        const button = element("button", { type: "button", "aria-label": `${words}: ${name}`, "data-focus": `${job.id} ${words}` }, words);
        button.addEventListener("click", () => this.tried(act));
        buttons.append(button);
      };
      if (job.state === "queued" || job.state === "running") add("Cancel", () => app.ask("POST", `/api/jobs/${job.id}/cancel`));
      else add("Delete", () => this.remove(job));
      if (job.state === "failed" || job.state === "cancelled") add("Label", () => app.ask("POST", `/api/jobs/${job.id}/retry`));
      const state = element("span", { class: "job-state quiet" }, words(job));
      const bar = element("progress", { max: "1", "aria-label": `Labelling of ${name}`, hidden: true });
      return element("li", { class: "job", "data-job": job.id, "data-state": job.state }, element("span", { class: "job-name" }, title), state, bar, buttons);
    }

    async tried(act) {
      try {
        await act();
        await this.refresh();
      } catch (error) {
        app.say(error.message);
      }
    }

    async remove(job) {
      if (!confirm(`Delete ${job.name}, its report and its notes?`)) return;
      await app.ask("DELETE", `/api/jobs/${job.id}`);
      const { jobs } = await app.ask("GET", "/api/jobs");
      // Reports of one clip share their notes, which the browser keeps.
      if (job.notes_id && !jobs.some(({ notes_id: other }) => other === job.notes_id)) {
        localStorage.removeItem(`skelact notes ${job.notes_id}`);
      }
    }
  }

  function words(job) {
    if (job.state === "queued") return "waits";
    if (job.state === "running") return "begins";
    if (job.state === "cancelled") return "cancelled";
    if (job.error) return `No label: ${job.error}`;
    if (job.unknown) return "Unknown: none of the actions that the classifier knows";
    return job.confidence_words ? `${job.words}, ${job.confidence_words}` : job.words;
  }

  function showProgress(line, { state, progress }) {
    if (state !== "running") return;
    const { frames_done: done, frames_total: total, step } = progress;
    const bar = line.querySelector("progress");
    bar.hidden = false;
    if (step || !total) bar.removeAttribute("value");
    else bar.value = Math.min(done / total, 1);
    let text = "begins";
    if (step) text = step;
    else if (done) text = total ? `frame ${done} of ${total}` : `frame ${done}`;
    line.querySelector(".job-state").textContent = text;
  }

  app.jobs = new Jobs();
  app.jobs.refresh();
})();
