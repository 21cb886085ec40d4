// SPDX-License-Identifier: MIT
// C++ payloads, called; exceptions through them, both ways, once their .eh_frame is registered. usage: test_image_cxx LIST
#include <cstdio>
#include <cstring>
#include <string>
#include <dlfcn.h>

#define _Static_assert static_assert
extern "C" {
#include "test_image_cxx.h"

long target_throw(long x)
{
	if (x & 1)
		throw static_cast<int>(x);
	return x;
}
long cxx_shared_total = 7;
void __register_frame(void *);
void __deregister_frame(void *);
}

static int count, failed;

static void check(bool good, const std::string &what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++count, what.c_str());
	failed += !good;
}

static void run(const char *path, bool exceptions, int far)
{
	const std::string label = std::string(strrchr(path, '/') + 1) + (far ? ", far: " : ", near: ");
	const char *message;
	cxx_payload *p = cxx_load(path, far, &message);
	if (!p) {
		check(false, label + message);
		return;
	}
	cxx_shared_total = 7;
	__register_frame(cxx_eh_frame(p));
	long (*f)(long) = cxx_function(p, "old_virtual");
	check(f(4) == 16 && f(3) == 27, label + "virtual functions");
	f = cxx_function(p, "old_shared");
	check(f(2) == 102009004 && f(3) == 105012005, label + "template, inline and static variables");
	check(cxx_shared_total == 12, label + "the inline variable is the target's");
	f = cxx_function(p, "old_catch");
	check(f(4) == 5 && f(7) == 75, label + "catches what the target throws");
	f = cxx_function(p, "old_throw");
	long caught = 0;
	try {
		caught = f(2);
		caught += f(9);
	} catch (long value) {
		caught += 100 * value;
	}
	check(caught == (exceptions ? 902 : 11), label + "throws into the target");
	check(cxx_exports(p) == 4, label + "exports its four functions only");
	__deregister_frame(cxx_eh_frame(p));
	cxx_unload(p);
}

int main(int argc, char **argv)
{
	FILE *list = argc > 1 ? fopen(argv[1], "r") : nullptr;
	char model[16], path[4096];
	if (!list)
		return 2;
	while (fscanf(list, "%15s %4095s", model, path) == 2) {
		for (int far = 0; far < 2; far++)
			run(path, !strcmp(model, "cxx-exc"), far);
	}
	printf("1..%d\n", count);
	return failed || count < 10;
}
