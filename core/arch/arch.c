/* SPDX-License-Identifier: MIT */
#include "core/arch/arch.h"

const struct arch_ops *arch_native(void)
{
#if defined(__x86_64__)
	return &arch_x86_64;
#elif defined(__aarch64__)
	return &arch_aarch64;
#else
	return NULL;
#endif
}
