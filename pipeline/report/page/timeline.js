// The whole clip as lanes: elements, segments, and of one person phases and gaps.
"use strict";

(() => {
  const app = (window.skelact ??= {});

  class Timeline {
    // `goTo(frame)` and `chooseElement(number)` are what a click does.
    constructor(report, container, scrubber, { goTo, chooseElement }) {
      this.report = report;
      this.container = container;
      this.scrubber = scrubber;
      this.goTo = goTo;
      this.chooseElement = chooseElement;
      this.end = Math.max(report.videoSeconds[report.numFrames - 1], 1e-3);
      this.frame = 0;
      scrubber.max = String(this.end);
      scrubber.addEventListener("input", () => goTo(report.frameAt(Number(scrubber.value))));
    }

    // Share of the width, 0 to 1, at which a frame lies.
    place(frame) {
      return this.report.videoSeconds[Math.min(frame, this.report.numFrames - 1)] / this.end;
    }

    show(person) {
      const { index } = this.report;
      this.playhead = app.element("div", { class: "playhead", "aria-hidden": "true" });
      const lanes = [];
      if (index.elements.length) lanes.push(this.elements());
      if (index.segments.length) lanes.push(this.segments());
      if (person < this.report.numPeople) lanes.push(this.phases(person), this.gaps(person));
      const marks = app.element("div", { class: "marks", "aria-hidden": "true" }, this.playhead);
      for (const cut of index.cuts) marks.append(this.mark("cut", cut, "The video is cut"));
      this.container.replaceChildren(...lanes.filter(Boolean), marks);
      this.showFrame(this.frame);
    }

    showFrame(frame) {
      this.frame = frame;
      this.scrubber.value = String(this.report.videoSeconds[frame]);
      this.scrubber.setAttribute("aria-valuetext", `frame ${this.report.frameInds[frame]}, ${app.clock(this.report.seconds[frame])}`);
      if (this.playhead) this.playhead.style.left = `${100 * this.place(frame)}%`;
    }

    lane(title, kind, spans) {
      const track = app.element("div", { class: "track" }, ...spans);
      track.addEventListener("click", (event) => {
        if (event.target.closest("button")) return;
        const { left, width } = track.getBoundingClientRect();
        this.goTo(this.report.frameAt(((event.clientX - left) / width) * this.end));
      });
      return app.element("div", { class: `lane ${kind}` }, app.element("span", { class: "lane-title" }, title), track);
    }

    placed(made, first, last) {
      made.style.left = `${100 * this.place(first)}%`;
      made.style.width = `${100 * (this.place(last) - this.place(first))}%`;
      return made;
    }

    mark(kind, frame, title) {
      return this.placed(app.element("div", { class: kind, title }), frame, frame);
    }

    elements() {
      const spans = this.report.index.elements.map((found, number) => {
        const title = `${found.words}, ${app.percent(found.confidence)}, ${app.personName(this.report, found.person)}`;
        const span = app.element(
          "button",
          { type: "button", class: `span element ${app.personClass(found.person)}`, title, "aria-label": title },
          found.words,
        );
        span.addEventListener("click", () => this.chooseElement(number));
        return this.placed(span, found.first, found.last);
      });
      return this.lane("Elements", "elements", spans);
    }

    segments() {
      const spans = this.report.index.segments.map((segment) => {
        const title = `${segment.words}, ${app.percent(segment.confidence)}`;
        const span = app.element("button", { type: "button", class: "span segment", title, "aria-label": title }, segment.words);
        span.addEventListener("click", () => this.goTo(segment.first));
        return this.placed(span, segment.first, segment.last);
      });
      return this.lane("Segments", "segments", spans);
    }

    phases(person) {
      const { phases } = this.report.index.people[person];
      if (!phases.length) return null;
      const spans = phases.map(([phase, start, stop]) => {
        const name = this.report.index.phase_names[phase];
        return this.placed(app.element("div", { class: `span phase phase-${phase}`, title: name }, name), start, stop);
      });
      return this.lane("Phases", "phases", spans);
    }

    gaps(person) {
      const spans = [];
      let end = 0;
      const add = (start, stop) => {
        if (stop > start) spans.push(this.placed(app.element("div", { class: "span gap", title: "not seen" }), start, stop));
      };
      for (const [start, stop] of this.report.index.people[person].seen) {
        add(end, start);
        end = stop;
      }
      add(end, this.report.numFrames);
      const lost = [];
      for (let i = 1; i < this.report.numFrames; i += 1) {
        if (this.report.frameInds[i] - this.report.frameInds[i - 1] > 1) lost.push(this.mark("lost", i, "frames are lost here"));
      }
      return this.lane("Not seen", "gaps", [...spans, ...lost]);
    }
  }

  app.Timeline = Timeline;
})();
