/**
 * Which rows of a list a person has before their eyes.
 *
 * Owns: the observer of the rows, and that a page nobody looks at shows nothing. Never: what follows from it.
 */

import type { ReactiveController, ReactiveControllerHost } from "lit";

type Host = ReactiveControllerHost & { readonly renderRoot: HTMLElement | DocumentFragment };

/** Rows are the elements `li` with `data-id`; at least half of one must be in view. */
export class RowsInView implements ReactiveController {
  private readonly inView = new Set<string>();
  private observer: IntersectionObserver | null = null;

  constructor(
    private readonly host: Host,
    /** Called with the ids in view after each change of the rows, of the view and of the page's visibility. */
    private readonly shown: (ids: Iterable<string>) => void,
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.observer = new IntersectionObserver((changes) => this.moved(changes), { threshold: 0.5 });
    document.addEventListener("visibilitychange", this.tell);
  }

  hostDisconnected(): void {
    this.observer?.disconnect();
    this.inView.clear();
    document.removeEventListener("visibilitychange", this.tell);
  }

  hostUpdated(): void {
    for (const row of this.host.renderRoot.querySelectorAll("li[data-id]")) this.observer?.observe(row);
    this.tell();
  }

  private moved(changes: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of changes) {
      const id = (target as HTMLElement).dataset["id"] ?? "";
      if (isIntersecting) this.inView.add(id);
      else this.inView.delete(id);
    }
    this.tell();
  }

  private readonly tell = (): void => {
    if (document.visibilityState === "visible" && this.inView.size > 0) this.shown(this.inView);
  };
}
