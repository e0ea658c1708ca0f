/** What must never happen, did. Its message begins with one word for the promise that was broken. */
export class Violation extends Error {
  override name = "Violation";
}
