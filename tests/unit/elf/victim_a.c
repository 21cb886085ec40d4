/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

int exported_data[5] = {1, 2, 3};
static int local_data = 7;
__thread int tls_first = 11;
static __thread char tls_second[40];
_Alignas(64) static __thread int tls_third = 13;

__attribute__((noinline)) static int twin(int x)
{
	__asm__ volatile("");
	return x + 1;
}

__attribute__((noinline)) int exported_function(int x)
{
	__asm__ volatile("");
	return twin(x) * 3;
}

__attribute__((noinline)) static int only_here(int x)
{
	__asm__ volatile("");
	return x ^ local_data;
}

__attribute__((noinline, cold)) static int complain(int x)
{
	__asm__ volatile("");
	return x - 1000;
}

__attribute__((noinline)) int risky(int x)
{
	if (x > 100000) {
		for (int i = 0; i < x; i += 77777)
			complain(i);
		return complain(x) + exported_function(x);
	}
	return exported_function(x);
}

__attribute__((noinline)) static int cloned(int x, int y)
{
	int sum = 0;
	for (int i = 0; i < x; i++)
		sum += exported_function(i) * y;
	return sum;
}

__attribute__((noinline)) int interposed(int x)
{
	__asm__ volatile("");
	return x + 100;
}

#ifdef WITH_IFUNC
__attribute__((noinline)) static int main_implementation(int x)
{
	__asm__ volatile("");
	return x * 5;
}

static int (*main_resolver(void))(int)
{
	return main_implementation;
}

int main_chosen(int x) __attribute__((ifunc("main_resolver")));
#endif

#ifdef WITH_LIB
extern int copied[4];
int versioned(int x);
int chosen(int x);
int late(int x);
#endif

static void say(const char *name, unsigned long value)
{
	printf("%s 0x%lx\n", name, value);
}

int main(int argc, char **argv)
{
	char buf[64];
	(void)argv;
	memset(tls_second, argc, sizeof(tls_second));
	say("main", (unsigned long)main);
	say("twin_a", (unsigned long)twin);
	say("exported_function", (unsigned long)exported_function);
	say("exported_data", (unsigned long)exported_data);
	say("only_here", (unsigned long)only_here);
	say("risky", (unsigned long)risky);
	say("interposed", (unsigned long)interposed);
	say("tls_first", THREAD_OFFSET(tls_first));
	say("tls_second", THREAD_OFFSET(tls_second));
	say("tls_third", THREAD_OFFSET(tls_third));
#ifdef WITH_IFUNC
	say("main_implementation", (unsigned long)main_implementation);
	if (main_chosen(1) != 5)
		abort();
#endif
	victim_b_report(say);
#ifdef WITH_LIB
	say("copied", (unsigned long)copied);
	if (versioned(1) != 12 || chosen(1) != 22)
		abort();
	lib_report(say);
	if (argc > 100)
		late(argc);
#endif
	if (argc > 100)
		printf("%d",
		       risky(argc) + cloned(argc, 4) + cloned(argc + 1, 4) + only_here(argc) + tls_third);
	puts("ready");
	fflush(stdout);
	while (read(0, buf, sizeof(buf)) > 0)
		;
	return 0;
}
