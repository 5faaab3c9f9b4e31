/**
 * Moves svctoken's clock forward for this whole process, as if so much time had passed: tokens age, remembered
 * failures end. Timeouts of calls in progress are not touched. Only for tests.
 *
 * @param milliseconds 0 or more; else throws a `SvctokenError` with the code `SVCTOKEN_INVALID_ARGUMENT`.
 */
export function advanceClock(milliseconds: number): void
