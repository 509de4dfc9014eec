/**
 * Asking for the pages of the lists.
 *
 * Owns: which page follows, and whether one is under way. Never: what a page means (reducers).
 */

import type { ListName, Place } from "../reducers/inbox";
import { isBelow, placeOf } from "../reducers/list";
import type { Rest } from "./rest";
import type { Page } from "./wire";

const PAGE = 30;
/** As many as the server gives in one page. */
const MOST = 100;

export class Lists {
  private under = 0;

  constructor(private readonly rest: Rest) {}

  /** Whether a page is under way: it is until it has been taken. */
  get asking(): boolean {
    return this.under > 0;
  }

  first(list: ListName, take: (page: Page) => void): Promise<void> {
    return this.ask(() => this.page(list, null, PAGE), take);
  }

  /** A page that goes on below `floor`. One without a cursor for that is found from the top, and begins above it. */
  below(list: ListName, floor: Place, cursor: string | null, take: (page: Page) => void): Promise<void> {
    return this.ask(() => (cursor === null ? this.found(list, floor) : this.page(list, cursor, PAGE)), take);
  }

  private async found(list: ListName, floor: Place): Promise<Page> {
    let page = await this.page(list, null, MOST);
    while (page.next_cursor !== null && !isPast(page, floor)) page = await this.page(list, page.next_cursor, MOST);
    return page;
  }

  private page(list: ListName, cursor: string | null, limit: number): Promise<Page> {
    return this.rest.list(cursor, list === "archived", limit);
  }

  private async ask(page: () => Promise<Page>, take: (page: Page) => void): Promise<void> {
    this.under += 1;
    try {
      take(await page());
    } finally {
      this.under -= 1;
    }
  }
}

function isPast({ items }: Page, floor: Place): boolean {
  const last = items.at(-1);
  return last !== undefined && isBelow(placeOf(last), floor);
}
