/* SPDX-License-Identifier: MIT */
/*
 * A program linked with libvictim and libvictim2. open PATH | close | opened: the same for a library opened
 * by dlopen().
 */
#include "victim.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

extern int lib_value(void), lib_calls_own(void), lib_calls_hidden(void), lib_calls_static(void),
	lib_tls(void), lib_ifunc(void), lib_calls_ifunc(void), lib_forever(int fd), lib_allocated(void);
extern int lib2_value(void), lib2_calls_static(void);

static int never[2];
static atomic_int started;

static void *forever(void *unused)
{
	(void)unused;
	atomic_store(&started, 1);
	return (void *)(intptr_t)lib_forever(never[0]);
}

int main(void)
{
	static const struct {
		const char *name;
		int (*f)(void);
	} table[] = {{"value", lib_value},
		     {"own", lib_calls_own},
		     {"hidden", lib_calls_hidden},
		     {"static", lib_calls_static},
		     {"tls", lib_tls},
		     {"ifunc", lib_ifunc},
		     {"calls_ifunc", lib_calls_ifunc},
		     {"allocated", lib_allocated},
		     {"value2", lib2_value},
		     {"static2", lib2_calls_static}};
	char line[VICTIM_LINE];
	void *opened = NULL;
	pthread_t t;
	if (pipe(never) || pthread_create(&t, NULL, forever, NULL))
		return 1;
	while (!atomic_load(&started))
		usleep(100);
	victim_ready();
	while (victim_next(line)) {
		bool found = false;
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			if (!strcmp(line, table[i].name)) {
				victim_say("%d", table[i].f());
				found = true;
			}
		if (found)
			continue;
		if (!strncmp(line, "open ", 5)) {
			opened = dlopen(line + 5, RTLD_NOW | RTLD_LOCAL);
			victim_say("%s", opened ? "opened" : dlerror());
		} else if (!strcmp(line, "close")) {
			victim_say("%s", opened && !dlclose(opened) ? "closed" : "error: dlclose");
			opened = NULL;
		} else if (!strcmp(line, "opened")) {
			int (*f)(void) = opened ? (int (*)(void))dlsym(opened, "plug_value") : NULL;
			victim_say("%d", f ? f() : -1);
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}
