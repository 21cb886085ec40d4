// SPDX-License-Identifier: MIT
/* A small payload with one of everything, for the fuzzer to begin with. */
#include <usplice/payload.h>

extern long outside_data;
extern long outside_table[4];
long outside_function(long x);
long outside_weak(long x) __attribute__((weak));
#ifndef NO_TLS
extern __thread long outside_tls;
extern __thread long outside_tls_ld __attribute__((tls_model("local-dynamic")));
extern __thread long outside_tls_le __attribute__((tls_model("local-exec")));
#else /* gcc 12 crashes on them under -mcmodel=large */
extern long outside_tls, outside_tls_ld, outside_tls_le;
#endif
static long own_bss;
static long own_data = 3;
__attribute__((weak)) long own_weak = 4;
static const char *const own_table[] = {"a", "b"};

static void cleanup(long *x)
{
	own_bss += *x;
}

long new_function(long x);
long new_function(long x)
{
	__attribute__((cleanup(cleanup))) long y = x;
	if (outside_weak)
		y += outside_weak(x);
	switch (x) {
	case 0:
		return outside_data;
	case 1:
		return outside_table[x] + outside_tls;
	case 2:
		return outside_tls_ld + outside_tls_le;
	case 3:
		return own_table[x & 1][0] + own_weak;
	case 4:
		return (long)(x * 0.37);
	case 5:
		return own_data++;
	default:
		return outside_function(x);
	}
}

static int veto(void)
{
	return 0;
}

#ifdef FINISHED
static const struct usplice_function record __attribute__((used, aligned(8), section(".usplice.funcs"))) = {
	.name = "old_function",
	.replacement = (const void *)new_function,
	.old_address = 0x1234,
	.old_size = 64,
	.expected_length = 6,
	.expected = {1, 2, 3, 4, 5, 6},
	.has_hash = 1};
USPLICE_INFO_("format=1");
USPLICE_INFO_("target-build-id=0123456789abcdef");
USPLICE_INFO_("target=victim");
#else
USPLICE_REPLACE_IN("file.c", old_function, new_function);
USPLICE_NOP(other_function, 4, 5);
#endif
USPLICE_NAME("seed");
USPLICE_VERSION("1");
USPLICE_DEPENDS("00ff00ff");
USPLICE_SYMBOL_IN("data.c", outside_data);
USPLICE_LOAD_HOOK(new_function);
USPLICE_PRE_APPLY_HOOK(veto);
