/** In how many times that all was taken a page grows to its full size. */
const STEPS = 10;

/**
 * Takes rows a page at a time. A page that failed may have been too much for one statement: the next ones are half as large, and
 * grow by a tenth of the full size with each time that all was taken.
 */
export class Pages {
  private size: number;

  constructor(private readonly fullSize: number) {
    this.size = fullSize;
  }

  /**
   * Takes pages until one is not full.
   *
   * @param take takes that many rows at most, and says how many it took
   * @throws what `take` does
   */
  async each(take: (rows: number) => Promise<number>): Promise<void> {
    try {
      while ((await take(this.size)) >= this.size);
    } catch (error) {
      this.size = Math.ceil(this.size / 2);
      throw error;
    }
    this.size = Math.min(this.fullSize, this.size + Math.ceil(this.fullSize / STEPS));
  }
}
