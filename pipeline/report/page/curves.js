// Angles over time, a row per joint, with a cursor at the frame that is shown.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  // Shown at first; the others are a click away.
  const FIRST_ROWS = ["somersault", "twist", "hip", "knee"];
  // Of a longer clip a part is shown, which loads fast and can be read.
  const FIRST_SECONDS = 10;
  const ROW_HEIGHT = 68;
  // Pixels that the numbers at the left take, and above and below the curves.
  const NUMBERS_WIDTH = 38;
  const MARGIN = 6;
  // A range of angles is drawn no narrower than this, so that jitter looks like jitter.
  const LEAST_DEGREES = 30;

  class Curves {
    constructor(report, container, goTo) {
      this.report = report;
      this.container = container;
      this.goTo = goTo;
      this.person = 0;
      this.frame = 0;
      this.windowSeconds = FIRST_SECONDS;
      this.second = null;
      this.rows = new Map();
      report.index.curves.forEach((curve, kind) => {
        if (!this.rows.has(curve.row)) this.rows.set(curve.row, { title: curve.title, note: curve.note, kinds: [] });
        this.rows.get(curve.row).kinds.push({ ...curve, kind });
      });
      const flies = report.index.people.some(({ phases }) => phases.some(([phase]) => report.index.phase_names[phase] === "flight"));
      this.shown = new Set([...this.rows.keys()].filter((row) => FIRST_ROWS.includes(row) && (row !== "twist" || flies)));
      new ResizeObserver(() => this.draw()).observe(container);
      this.build();
    }

    choose(row, isShown) {
      if (isShown) this.shown.add(row);
      else this.shown.delete(row);
      this.build();
    }

    build() {
      this.canvases = new Map();
      const made = [...this.rows].filter(([row]) => this.shown.has(row)).map(([row, { title, note }]) => {
        const canvas = app.element("canvas", { class: "curve", role: "img" });
        canvas.addEventListener("pointerdown", (event) => {
          canvas.setPointerCapture(event.pointerId);
          this.point(canvas, event);
        });
        canvas.addEventListener("pointermove", (event) => {
          if (canvas.hasPointerCapture(event.pointerId)) this.point(canvas, event);
        });
        const value = app.element("span", { class: "curve-value" });
        this.canvases.set(row, { canvas, value });
        return app.element(
          "div",
          { class: "curve-row" },
          app.element("div", { class: "curve-head", title: note }, app.element("span", { class: "curve-title" }, title), value),
          canvas,
        );
      });
      this.container.replaceChildren(...made);
      this.draw();
    }

    // Seconds of the video at the left and right edge.
    range() {
      const { videoSeconds, numFrames } = this.report;
      const end = videoSeconds[numFrames - 1];
      if (!this.windowSeconds || this.windowSeconds >= end) return [0, Math.max(end, 1e-3)];
      const middle = videoSeconds[this.frame];
      const start = Math.min(Math.max(middle - this.windowSeconds / 2, 0), end - this.windowSeconds);
      return [start, start + this.windowSeconds];
    }

    // Pixels at the left of the curves: they stand below the track of the timeline.
    left() {
      return Math.max(parseFloat(getComputedStyle(app.byId("scrubber")).marginLeft), NUMBERS_WIDTH);
    }

    point(canvas, event) {
      const { left, width } = canvas.getBoundingClientRect();
      const share = (event.clientX - left - this.left()) / (width - this.left());
      const [start, end] = this.range();
      this.goTo(this.report.frameAt(start + Math.min(Math.max(share, 0), 1) * (end - start)));
    }

    show(frame) {
      this.frame = frame;
      this.draw();
    }

    draw() {
      for (const [row, { canvas, value }] of this.canvases) {
        this.drawRow(this.rows.get(row), canvas);
        const { title, kinds } = this.rows.get(row);
        value.textContent = this.valueText(kinds, "–");
        canvas.setAttribute("aria-label", `${title}: ${this.valueText(kinds, "not known")}`);
      }
    }

    valueText(kinds, unknown) {
      return kinds
        .map(({ side, kind }) => {
          const degrees = this.report.curve(this.person, this.frame, kind);
          const text = Number.isNaN(degrees) ? unknown : `${Math.round(degrees)}°`;
          return side ? `${side} ${text}` : text;
        })
        .join("\n");
    }

    drawRow({ kinds }, canvas) {
      const ratio = window.devicePixelRatio || 1;
      const width = canvas.clientWidth;
      if (!width || !this.report.numPeople) return;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(ROW_HEIGHT * ratio);
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      const [start, end] = this.range();
      const left = this.left();
      const inner = width - left;
      const x = (seconds) => left + ((seconds - start) / (end - start)) * inner;
      const lines = kinds.flatMap((curve) => this.linesOf(curve, start, end, inner));
      const [low, high] = limits(lines);
      const y = (degrees) => ROW_HEIGHT - MARGIN - ((degrees - low) / (high - low)) * (ROW_HEIGHT - 2 * MARGIN);
      drawGrid(context, low, high, left, width, y);
      context.save();
      context.beginPath();
      context.rect(left, 0, inner, ROW_HEIGHT);
      context.clip();
      for (const line of lines) drawLine(context, line, x, y);
      context.restore();
      context.fillStyle = app.color("--accent");
      context.fillRect(x(this.report.videoSeconds[this.frame]) - 0.75, 0, 1.5, ROW_HEIGHT);
    }

    linesOf(curve, start, end, inner) {
      const lines = [{ ...curve, points: points(this.report, this.person, curve.kind, start, end, 0, inner) }];
      if (this.second) {
        const { report, offset } = this.second;
        const same = report.index.curves.findIndex(({ key }) => key === curve.key);
        if (same >= 0 && report.numPeople) {
          lines.push({ ...curve, isSecond: true, points: points(report, 0, same, start + offset, end + offset, -offset, inner) });
        }
      }
      return lines;
    }
  }

  function drawGrid(context, low, high, left, width, y) {
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const degrees of [low, (low + high) / 2, high]) {
      context.fillStyle = app.color("--line");
      context.fillRect(left, Math.round(y(degrees)), width - left, 1);
      if (degrees === low || degrees === high) {
        context.fillStyle = app.color("--quiet");
        context.fillText(`${degrees}°`, left - 5, y(degrees) + (degrees === low ? -3 : 3));
      }
    }
  }

  // [seconds, degrees] of a curve between two times, no more than there are pixels for.
  function points(report, person, kind, start, end, shift, inner) {
    const first = Math.max(report.frameAt(start) - 1, 0);
    const last = Math.min(report.frameAt(end) + 1, report.numFrames - 1);
    const stride = Math.max(Math.ceil((last - first) / (2 * inner)), 1);
    const found = [];
    for (let frame = first; frame <= last; frame += stride) {
      found.push([report.videoSeconds[frame] + shift, report.curve(person, frame, kind)]);
    }
    return found;
  }

  // Whole multiples of 30 degrees around all that is drawn.
  function limits(lines) {
    let low = Infinity;
    let high = -Infinity;
    for (const { points: drawn } of lines) {
      for (const [, degrees] of drawn) {
        if (Number.isNaN(degrees)) continue;
        low = Math.min(low, degrees);
        high = Math.max(high, degrees);
      }
    }
    if (low > high) return [0, 180];
    low = LEAST_DEGREES * Math.floor(low / LEAST_DEGREES);
    high = LEAST_DEGREES * Math.ceil(high / LEAST_DEGREES);
    return [low, Math.max(high, low + LEAST_DEGREES)];
  }

  function drawLine(context, { side, isSecond, points: drawn }, x, y) {
    context.beginPath();
    let isOpen = false;
    for (const [seconds, degrees] of drawn) {
      if (Number.isNaN(degrees)) isOpen = false;
      else if (isOpen) context.lineTo(x(seconds), y(degrees));
      else {
        context.moveTo(x(seconds), y(degrees));
        // A frame alone is a dot.
        context.lineTo(x(seconds) + 0.01, y(degrees));
        isOpen = true;
      }
    }
    context.lineJoin = context.lineCap = "round";
    context.lineWidth = isSecond ? 1 : 2;
    context.setLineDash(isSecond ? [1, 4] : side === "right" ? [6, 4] : []);
    context.strokeStyle = app.color(side === "left" ? "--left" : side === "right" ? "--right" : "--text");
    context.stroke();
  }

  app.Curves = Curves;
})();
