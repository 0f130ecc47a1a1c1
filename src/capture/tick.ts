/** The kernel stamps a change with its last tick, 10 ms ago at most: two changes closer than that may look like one. In ms. */
export const tick = 20;
