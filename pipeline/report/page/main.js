// Puts the page together.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const { byId, element } = app;

  async function start() {
    const report = await app.openReport();
    byId("report").hidden = false;
    showFacts(report);
    app.showAnswer(report);
    app.page = new Page(report);
    await app.page.open();
  }

  function showFacts({ index, numFrames, seconds }) {
    document.title = `${index.name} - skelact`;
    byId("clip-name").textContent = index.name;
    const facts = [`${numFrames} frames`, `${(seconds[numFrames - 1] - seconds[0] + 1 / index.fps).toFixed(2)} s`, `${Number(index.fps.toFixed(3))} fps`];
    if (index.num_lost) facts.push(`${index.num_lost} frames are lost`);
    byId("clip-facts").textContent = facts.join(", ");
    byId("program").textContent = index.program;
  }

  class Page {
    constructor(report) {
      this.report = report;
      this.player = new app.Player(report, byId("video"), byId("overlay"), (frame) => this.showFrame(frame));
      const goTo = (frame) => this.player.goTo(frame);
      this.timeline = new app.Timeline(report, byId("timeline"), byId("scrubber"), {
        goTo,
        chooseElement: (number) => this.chooseElement(number),
      });
      this.curves = new app.Curves(report, byId("curves"), goTo);
      this.comparison = new app.Comparison(this.player, this.curves);
      this.notes = new app.Notes(report, goTo);
      report.onChunk = () => {
        this.player.draw();
        this.curves.draw();
      };
    }

    async open() {
      app.showElements(this.report, (number) => this.chooseElement(number));
      app.showPeople(this.report, (person) => this.choosePerson(person));
      this.offerCurves();
      this.listen();
      this.choosePerson(0);
      byId("pick-name").textContent = this.report.index.video.file;
      byId("sound").hidden = !this.report.index.video.has_sound;
      await this.player.open();
    }

    showFrame(frame) {
      const { report } = this;
      byId("place").textContent = `frame ${report.frameInds[frame]}   ${app.clock(report.seconds[frame])}`;
      this.timeline.showFrame(frame);
      this.curves.show(frame);
      this.comparison.follow(frame);
      app.markElement(this.elementAt(frame));
      byId("play").textContent = this.player.isPlaying ? "Pause" : "Play";
      // The chunk that comes next is there before it is needed.
      report.chunkOf(Math.min(frame + report.index.chunk_frames / 2, report.numFrames - 1) | 0);
    }

    // Of several the one that begins last: what is a part of another is what is looked at.
    elementAt(frame) {
      return this.report.index.elements.findLastIndex(({ first, last }) => first <= frame && frame <= last);
    }

    choosePerson(person) {
      this.player.chosen = person;
      this.curves.person = person;
      byId("curve-person").value = String(person);
      this.timeline.show(person);
      app.markPerson(this.report, person);
      this.player.draw();
      this.curves.draw();
    }

    chooseElement(number) {
      const found = this.report.index.elements[number];
      this.choosePerson(found.person);
      if (this.player.range) this.player.range = [found.first, found.last + 1];
      this.player.goTo(found.first);
    }

    toggleLoop() {
      const found = this.report.index.elements[this.elementAt(this.player.frame)];
      const whole = [0, this.report.numFrames];
      this.player.range = this.player.range ? null : found ? [found.first, found.last + 1] : whole;
      byId("loop").setAttribute("aria-pressed", String(this.player.range !== null));
    }

    toggleSkeletons() {
      this.player.showsSkeletons = !this.player.showsSkeletons;
      byId("skeletons").setAttribute("aria-pressed", String(this.player.showsSkeletons));
      this.player.draw();
      this.comparison.showSkeletons(this.player.showsSkeletons);
    }

    toggleSound() {
      const { video } = this.player;
      video.muted = !video.muted;
      byId("sound").setAttribute("aria-pressed", String(!video.muted));
    }

    togglePlay() {
      if (this.player.isPlaying) this.player.pause();
      else this.player.play();
    }

    setSpeed(speed) {
      this.player.video.defaultPlaybackRate = this.player.video.playbackRate = Number(speed);
      byId("speed").value = speed;
    }

    goToElement(direction) {
      const starts = this.report.index.elements.map(({ first }, number) => ({ first, number }));
      const before = starts.filter(({ first }) => first < this.player.frame);
      const after = starts.filter(({ first }) => first > this.player.frame);
      const next = direction < 0 ? before.at(-1) : after[0];
      if (next) this.chooseElement(next.number);
    }

    offerCurves() {
      const people = this.report.index.people.map((_, person) =>
        element("option", { value: String(person) }, `${person + 1} ${app.personName(this.report, person)}`),
      );
      byId("curve-person").replaceChildren(...people);
      byId("curve-person").addEventListener("change", (event) => this.choosePerson(Number(event.target.value)));
      const lengths = byId("curve-window");
      const { videoSeconds, numFrames } = this.report;
      for (const option of [...lengths.options]) {
        if (Number(option.value) >= videoSeconds[numFrames - 1]) option.remove();
      }
      const { windowSeconds } = this.curves;
      lengths.value = lengths.querySelector(`[value="${windowSeconds}"]`) ? String(windowSeconds) : "0";
      const setLength = () => {
        this.curves.windowSeconds = Number(lengths.value);
        this.curves.draw();
      };
      lengths.addEventListener("change", setLength);
      setLength();
      const choice = [...this.curves.rows].map(([row, { title, note }]) => {
        const box = element("input", { type: "checkbox", name: row, checked: this.curves.shown.has(row) });
        box.addEventListener("change", () => this.curves.choose(row, box.checked));
        return element("label", { title: note }, box, ` ${title}`);
      });
      byId("curve-choice").replaceChildren(...choice);
      const second = element("span", { id: "second-legend", hidden: true }, element("i", { class: "other" }), "second report");
      byId("curve-legend").replaceChildren(element("i"), "left", element("i", { class: "right" }), "right", second);
    }

    listen() {
      const { player } = this;
      const click = (id, act) => byId(id).addEventListener("click", act);
      click("play", () => this.togglePlay());
      click("back", () => player.step(-1));
      click("forward", () => player.step(1));
      click("loop", () => this.toggleLoop());
      click("skeletons", () => this.toggleSkeletons());
      click("sound", () => this.toggleSound());
      click("frame-csv", () => tried(app.frameCsv(this.report, player.frame)));
      click("clip-csv", () => tried(app.anglesCsv(this.report)));
      click("frame-png", () => this.saveImage());
      click("notes-json", () => app.notesJson(this.report, this.notes.notes));
      byId("speed").addEventListener("change", (event) => this.setSpeed(event.target.value));
      byId("video-file").addEventListener("change", (event) => this.takeVideo(event.target.files[0]));
      for (const kind of ["play", "pause"]) player.video.addEventListener(kind, () => this.showFrame(player.frame));
      player.video.addEventListener("error", () => app.say(`The video ${this.report.index.video.file} cannot be played.`));
      byId("overlay").addEventListener("click", (event) => {
        const person = player.personAt(event.offsetX, event.offsetY);
        if (person === null) this.togglePlay();
        else this.choosePerson(person);
      });
      byId("note-form").addEventListener("submit", (event) => {
        event.preventDefault();
        const text = byId("note-text").value.trim();
        if (text) this.notes.add(player.frame, text);
        byId("note-text").value = "";
      });
      document.addEventListener("keydown", (event) => this.key(event));
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.curves.draw());
    }

    async saveImage() {
      try {
        await app.framePng(this.player);
      } catch (error) {
        if (error.name !== "SecurityError") throw error;
        byId("pick-video").hidden = false;
        byId("video-file").focus();
      }
    }

    async takeVideo(file) {
      if (!file) return;
      try {
        await this.player.replace(URL.createObjectURL(file));
        byId("pick-video").hidden = true;
        await app.framePng(this.player);
      } catch (error) {
        app.say(`No image: ${error.message}`);
      }
    }

    key(event) {
      const { target } = event;
      const isText = target.matches("select, textarea, input:not([type]), input[type='text']");
      if (isText || event.ctrlKey || event.metaKey || event.altKey) return;
      // A button is pressed by the space bar.
      if (event.key === " " && target.matches("button, summary, input")) return;
      const act = this.keys(event.shiftKey ? 10 : 1)[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }

    keys(count) {
      const { player } = this;
      return {
        " ": () => this.togglePlay(),
        ArrowLeft: () => player.step(-count),
        ArrowRight: () => player.step(count),
        Home: () => player.step(-this.report.numFrames),
        End: () => player.step(this.report.numFrames),
        "[": () => this.goToElement(-1),
        "]": () => this.goToElement(1),
        1: () => this.setSpeed("0.125"),
        2: () => this.setSpeed("0.25"),
        3: () => this.setSpeed("0.5"),
        4: () => this.setSpeed("1"),
        l: () => this.toggleLoop(),
        s: () => this.toggleSkeletons(),
        n: () => byId("note-text").focus(),
      };
    }
  }

  const tried = (promise) => promise.catch((error) => app.say(error.message));
  tried(start());
})();
