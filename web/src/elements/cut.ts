/**
 * Which texts of a list are longer than is shown of them.
 *
 * Owns: the observer of the texts. A text is cut only where it is laid out, so it is measured there, and again when its
 * width or its words change. Never: what is shown of it.
 */

import type { ReactiveController, ReactiveControllerHost } from "lit";

type Host = ReactiveControllerHost & { readonly renderRoot: HTMLElement | DocumentFragment };

/** Texts are the elements with the class `message` in `li` with `data-id`; those with `whole` are not measured. */
export class CutTexts implements ReactiveController {
  private readonly cut = new Set<string>();
  private words = new WeakMap<Element, string>();
  private observer: ResizeObserver | null = null;

  constructor(private readonly host: Host) {
    host.addController(this);
  }

  /** Whether that row's text was longer when it was last measured. */
  has(id: string): boolean {
    return this.cut.has(id);
  }

  hostConnected(): void {
    this.observer = new ResizeObserver((changes) => this.measure(changes.map(({ target }) => target)));
    this.words = new WeakMap();
  }

  hostDisconnected(): void {
    this.observer?.disconnect();
  }

  hostUpdated(): void {
    for (const text of this.host.renderRoot.querySelectorAll("li[data-id] .message")) {
      const words = text.textContent ?? "";
      if (this.words.get(text) === words) continue;
      this.words.set(text, words);
      // Other words may have the size of those before: only who is observed anew is told of.
      this.observer?.unobserve(text);
      this.observer?.observe(text);
    }
  }

  private measure(texts: readonly Element[]): void {
    let changed = false;
    for (const text of texts) {
      const id = text.closest("li")?.dataset["id"];
      if (id === undefined || text.classList.contains("whole")) continue;
      const isCut = text.scrollHeight > text.clientHeight + 1;
      if (isCut === this.cut.has(id)) continue;
      if (isCut) this.cut.add(id);
      else this.cut.delete(id);
      changed = true;
    }
    if (changed) this.host.requestUpdate();
  }
}
