// A second report beside the first, aligned on a frame of each.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const { byId } = app;
  // Videos that play side by side may drift by this much; a seek costs more than it is worth.
  const MOST_DRIFT_SECONDS = 0.05;

  class Comparison {
    constructor(first, curves) {
      this.first = first;
      this.curves = curves;
      this.second = null;
      this.offset = null;
      byId("second-folder").addEventListener("change", ({ target }) => {
        if (target.files.length) this.choose(app.chosenFiles([...target.files]));
      });
      byId("second-back").addEventListener("click", () => this.step(-1));
      byId("second-forward").addEventListener("click", () => this.step(1));
      byId("align").addEventListener("click", () => this.setAligned(this.offset === null));
      byId("second-close").addEventListener("click", () => this.close());
    }

    async choose(files) {
      try {
        const report = await app.openReport(files);
        this.close();
        app.say("");
        await this.open(report);
      } catch (error) {
        app.say(`The second report cannot be shown: ${error.message}`);
      }
    }

    async open(report) {
      byId("second-side").hidden = false;
      byId("compare-controls").hidden = false;
      byId("compare-hint").hidden = true;
      byId("second-name").textContent = report.index.name;
      this.second = new app.Player(report, byId("second-video"), byId("second-overlay"), () => this.showState());
      report.onChunk = () => {
        this.second?.draw();
        this.curves.draw();
      };
      this.showSkeletons(this.first.showsSkeletons);
      await this.second.open();
      this.showState();
    }

    close() {
      if (!this.second) return;
      URL.revokeObjectURL(byId("second-video").src);
      this.second.close();
      this.second = null;
      this.setAligned(false);
      byId("second-side").hidden = true;
      byId("compare-controls").hidden = true;
      byId("compare-hint").hidden = false;
      byId("second-folder").value = "";
    }

    showSkeletons(isShown) {
      if (!this.second) return;
      this.second.showsSkeletons = isShown;
      this.second.draw();
    }

    // A step of the second video alone sets the two apart.
    step(count) {
      this.setAligned(false);
      this.second.step(count);
    }

    setAligned(isAligned) {
      this.offset = null;
      if (isAligned && this.second) {
        this.offset = this.second.report.videoSeconds[this.second.frame] - this.first.report.videoSeconds[this.first.frame];
      }
      byId("align").setAttribute("aria-pressed", String(this.offset !== null));
      byId("second-legend").hidden = this.offset === null;
      this.curves.second = this.offset === null ? null : { report: this.second.report, offset: this.offset };
      this.curves.draw();
      this.showState();
    }

    showState() {
      if (!this.second) return;
      const { report, frame } = this.second;
      const { answer } = report.index;
      byId("second-words").textContent = `${answer.unknown ? "Unknown" : answer.words}, frame ${report.frameInds[frame]}, ${app.clock(report.seconds[frame])}`;
      byId("align-state").textContent =
        this.offset === null
          ? "Go to the same moment in both, then align."
          : `Aligned: the second is ${Math.abs(this.offset).toFixed(3)} s ${this.offset < 0 ? "behind" : "ahead"}.`;
    }

    // Lets the second video follow the first, which shows this frame.
    follow(frame) {
      if (!this.second || this.offset === null) return;
      const { video, report } = this.second;
      const seconds = this.first.report.videoSeconds[frame] + this.offset;
      const end = report.videoSeconds[report.numFrames - 1];
      if (this.first.isPlaying && seconds >= 0 && seconds < end) {
        video.playbackRate = this.first.video.playbackRate;
        if (Math.abs(video.currentTime - seconds) > MOST_DRIFT_SECONDS) this.second.goTo(report.frameAt(seconds));
        if (video.paused) this.second.play();
      } else {
        this.second.pause();
        this.second.goTo(report.frameAt(seconds));
      }
    }
  }

  app.Comparison = Comparison;
})();
