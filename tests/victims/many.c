/* SPDX-License-Identifier: MIT */
/* A hundred functions f00 … f99 that return a hundred and their number; sum -> their sum. */
#include "victim.h"

#define ONE(n)                                                                              \
	extern int f##n(void);                                                              \
	VICTIM int f##n(void)                                                               \
	{                                                                                   \
		__asm__ volatile("nop; nop; nop"); /* f00 must be long enough for a jump */ \
		return 1##n;                                                                \
	}
#define TEN(d) X(d##0) X(d##1) X(d##2) X(d##3) X(d##4) X(d##5) X(d##6) X(d##7) X(d##8) X(d##9)
#define ALL    TEN(0) TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9)

#define X(n) ONE(n)
ALL
#undef X
#define X(n) f##n,
	static int (*const functions[])(void) = {ALL};

int main(void)
{
	char line[VICTIM_LINE];
	victim_ready();
	while (victim_next(line)) {
		int sum = 0;
		if (!strcmp(line, "sum")) {
			for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
				sum += functions[i]();
			victim_say("%d", sum);
		} else if (!strcmp(line, "first")) {
			victim_say("%d", f07());
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}
