// SPDX-License-Identifier: MIT
/* Functions that use everything a patched function may: each t_… is put in place of old_t_…. */
#include "sample_target.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef SAMPLE_PAYLOAD
#include <usplice/payload.h>
#define SAMPLE(name)                                     \
	__attribute__((noinline)) long t_##name(long x); \
	USPLICE_REPLACE(old_##name, t_##name);           \
	__attribute__((noinline)) long t_##name(long x)
USPLICE_NAME("sample");
USPLICE_DESCRIPTION("everything");
#else
#define SAMPLE(name)           \
	long t_##name(long x); \
	long t_##name(long x)
#endif

static long own_bss[8];
static long own_data = 17;
long own_global = 5;
static const char *const own_strings[] = {"zero", "one", "two", "three"};

SAMPLE(globals)
{
	target_state.counter += x;
	target_state.table[x & 15] = target_state.counter ^ x;
	return target_state.counter + target_state.table[(x + 3) & 15] + (long)strlen(target_words[x & 3]);
}

SAMPLE(statics)
{
	own_bss[x & 7] += x;
	own_data += own_bss[(x + 1) & 7];
	own_global ^= own_data;
	return own_data + own_global;
}

SAMPLE(strings)
{
	char text[64];
	snprintf(text, sizeof(text), "%s-%ld-%s", own_strings[x & 3], x, target_state.name);
	long sum = 0;
	for (const char *p = text; *p; p++)
		sum = (long)((unsigned long)sum * 31) + *p;
	return sum;
}

SAMPLE(jump_table)
{
	switch (x % 12) {
	case 0:
		return target_add(x, 1);
	case 1:
		return x * 3;
	case 2:
		return x ^ own_data;
	case 3:
		return target_state.counter;
	case 4:
		return x << 4;
	case 5:
		return -x;
	case 6:
		return x + 1000;
	case 7:
		return target_state.table[2];
	case 8:
		return own_strings[2][0];
	default:
		return 77;
	}
}

SAMPLE(floating)
{
	double d = x * 0.3711 + 2.25e-3;
	float f = (float)d * 1.5f;
	long double l = (long double)d / 3.7L;
	return (long)(target_scale(d) * 1000.0) + (long)(f * 10.0f) + (long)(l * 100.0L) + (d > 12.5 ? 1 : 0);
}

static int compare_longs(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return x < y ? -1 : x > y;
}

SAMPLE(library)
{
	long v[8];
	for (int i = 0; i < 8; i++)
		v[i] = (x * 7919 + i * 104729) % 97;
	qsort(v, 8, sizeof(v[0]), compare_longs);
	char *copy = strdup("copied");
	long result = v[0] + 10 * v[3] + 100 * v[7] + (long)strlen(copy) + strcmp(copy, "copiee");
	memset(copy, 'x', 3);
	result += memcmp(copy, "xxx", 3);
	free(copy);
	return result;
}

static long twice(long x)
{
	return 2 * x + own_data % 3;
}

SAMPLE(callbacks)
{
	static long (*const own_table[])(long) = {twice, t_jump_table, twice};
	long (*volatile add)(long, long) = target_add;
	return target_apply(twice, x) + own_table[x % 3](x) + add(x, 4) + (add == target_add);
}

SAMPLE(weak)
{
	if (target_missing)
		return target_missing(x);
	return 4242;
}

static long sum_of(int n, ...)
{
	va_list ap;
	long sum = 0;
	va_start(ap, n);
	for (int i = 0; i < n; i++)
		sum += va_arg(ap, long);
	va_end(ap);
	return sum;
}

SAMPLE(varargs)
{
	return sum_of(5, x, x + 1, x + 2, x * 3, 4L);
}

SAMPLE(computed_goto)
{
	static const void *const labels[] = {&&a, &&b, &&c};
	long result = 0;
	for (int i = 0; i < 3; i++) {
		goto *labels[(x + i) % 3];
	a:
		result += 1;
		continue;
	b:
		result = result * 10 + 2;
		continue;
	c:
		result = result * 100 + 3;
	}
	return result;
}

SAMPLE(recursion)
{
	return x < 2 ? x : t_recursion(x - 1) + t_recursion(x - 2);
}

struct big {
	long v[12];
};

static __attribute__((noinline)) struct big make_big(long x)
{
	struct big b = {{x, x + 1, x * 2}};
	b.v[11] = own_global & 1;
	return b;
}

SAMPLE(structures)
{
	struct big b = make_big(x);
	return b.v[0] + b.v[1] + b.v[2] + b.v[11];
}

SAMPLE(tls)
{
	target_tls += x;
	return target_tls * 2;
}

SAMPLE(tls_ie)
{
	target_tls_ie ^= x;
	return target_tls_ie + 1;
}

SAMPLE(tls_ld)
{
	target_tls_ld += x;
	target_tls_ld2 -= target_tls_ld;
	return target_tls_ld2;
}

SAMPLE(tls_le)
{
	target_tls_le += 3 * x;
	return target_tls_le;
}

SAMPLE(inline_asm)
{
	long result;
	__asm__("leaq 5(%1,%1,2), %0" : "=r"(result) : "r"(x));
	return result;
}

__attribute__((cold, noinline)) static long unlikely_path(long x)
{
	char text[16];
	snprintf(text, sizeof(text), "%lx", x);
	return (long)strlen(text);
}

SAMPLE(cold)
{
	if (__builtin_expect(x > 5, 0))
		return unlikely_path(x);
	return x;
}

#ifndef SAMPLE_PAYLOAD
void sample_reset(void);
void sample_reset(void)
{
	memset(own_bss, 0, sizeof(own_bss));
	own_data = 17;
	own_global = 5;
}
#endif
