/* SPDX-License-Identifier: MIT */
/*
 * The shared-library victim: exported, static, hidden functions, an IFUNC, thread-local data, a constructor
 * that allocates, a loop that a thread never leaves. Built plainly and with -Bsymbolic; as libvictim2 with
 * other values.
 */
#include "victim.h"

#ifndef BASE
#define BASE 1000
#endif
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#ifndef PREFIX
#define PREFIX lib
#endif
#define N(name)	 CAT(PREFIX, name)
#define TEXT_(x) #x
#define TEXT(x)	 TEXT_(x)
#define RESOLVER TEXT(CAT(PREFIX, _resolver))

extern int N(_value)(void), N(_calls_own)(void), N(_hidden)(void), N(_calls_hidden)(void),
	N(_calls_static)(void), N(_tls)(void), N(_ifunc)(void), N(_calls_ifunc)(void), N(_forever)(int fd),
	N(_allocated)(void);

VICTIM int N(_value)(void)
{
	OPAQUE();
	return BASE + 1;
}

VICTIM int N(_calls_own)(void)
{
	return N(_value)() + 10000;
}

__attribute__((visibility("hidden"), noinline)) int N(_hidden)(void)
{
	OPAQUE();
	return BASE + 2;
}

VICTIM int N(_calls_hidden)(void)
{
	return N(_hidden)() + 10000;
}

static __attribute__((noinline)) int local_helper(void)
{
	OPAQUE();
	return BASE + 3;
}

VICTIM int N(_calls_static)(void)
{
	return local_helper() + 10000;
}

__thread int N(_tls_counter) = BASE;

VICTIM int N(_tls)(void)
{
	N(_tls_counter) += 1;
	return N(_tls_counter);
}

static __attribute__((noinline)) int ifunc_chosen(void)
{
	OPAQUE();
	return BASE + 4;
}

extern int (*N(_resolver)(void))(void);
__attribute__((visibility("hidden"))) int (*N(_resolver)(void))(void)
{
	return ifunc_chosen;
}

__attribute__((visibility("default"))) int N(_ifunc)(void) __attribute__((ifunc(RESOLVER)));

VICTIM int N(_calls_ifunc)(void)
{
	return N(_ifunc)() + 10000;
}

/* A thread blocks here for ever; it is inside the library, but in no function that is replaced. */
VICTIM int N(_forever)(int fd)
{
	char c;
	return (int)read(fd, &c, 1);
}

static void *allocated;
__attribute__((constructor)) static void allocate(void)
{
	allocated = malloc(100000);
}

VICTIM int N(_allocated)(void)
{
	return allocated != NULL;
}
