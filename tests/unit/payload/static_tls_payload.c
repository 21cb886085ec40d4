// SPDX-License-Identifier: MIT
/* Uses the target's thread-local variables in every way: t_… is put in place of old_t_…. Also compiled into
 * the program itself, for what results should be. */
#include "static_tls.h"

#ifdef SAMPLE_PAYLOAD
#include <usplice/payload.h>
#define SAMPLE(name)                           \
	long t_##name(long x);                 \
	USPLICE_REPLACE(old_##name, t_##name); \
	long t_##name(long x)
USPLICE_NAME("static-tls");
#else
#define SAMPLE(name)           \
	long t_##name(long x); \
	long t_##name(long x)
#endif

SAMPLE(general)
{
	tls_counter += x;
	tls_small ^= (char)x;
	return tls_counter * 3 + tls_small;
}

static __attribute__((noinline)) long *hand_out(long x)
{
	return &tls_big[x & (TLS_BIG - 1)];
}

SAMPLE(address)
{
	long *p = hand_out(x), *q = hand_out(x + 1);
	*p += x;
	*q -= *p;
	return *p ^ *q;
}

/* Values that must live across the accesses, in registers that a call would spoil and in those that it keeps.
 */
SAMPLE(mixed)
{
	double d = (double)x * 1.5;
	long a = x * 7, b = x ^ 0x55, c = x << 3;
	for (long i = 0; i < 4; i++) {
		tls_pair.a += a + i;
		tls_pair.b -= b * i;
		d += (double)tls_pair.a;
		c ^= tls_pair.b + tls_counter;
	}
	return (long)d + a + b + c;
}

SAMPLE(local)
{
	tls_local_1 += x;
	tls_local_2 -= tls_local_1;
	return tls_local_1 + 5 * tls_local_2;
}

SAMPLE(local_address)
{
	char *p = &tls_local_big[x & (TLS_BIG - 1)];
	*p = (char)(*p + x + tls_local_1);
	return *p + tls_local_2;
}
