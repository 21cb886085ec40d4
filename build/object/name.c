// SPDX-License-Identifier: MIT
#include "build/object/name.h"

#include <stdlib.h>
#include <string.h>

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* Length of a ".<digits>" here, as a component of its own; 0: there is none. */
static size_t number(const char *s)
{
	size_t n = *s == '.' ? digits(s + 1) : 0;
	return n && (!s[n + 1] || s[n + 1] == '.') ? n + 1 : 0;
}

char *object_name_base(const char *name, bool *ret_numbered)
{
	char *base = malloc(strlen(name) + 1), *to = base;
	*ret_numbered = false;
	if (!base)
		return NULL;
	while (*name) {
		size_t n = to == base ? 0 : number(name);
		if (n) {
			*ret_numbered = true;
			name += n;
		} else {
			*to++ = *name++;
		}
	}
	*to = '\0';
	return base;
}

size_t object_name_source(const char *name)
{
	const char *dot = *name ? strchr(name + 1, '.') : NULL;
	return dot ? (size_t)(dot - name) : strlen(name);
}

size_t object_name_cold(const char *name)
{
	static const char cold[] = ".cold";
	size_t length = strlen(name), n = length;
	while (n && name[n - 1] >= '0' && name[n - 1] <= '9')
		n--;
	if (n != length && n && name[n - 1] == '.')
		n--; /* "f.cold.1", as clang and old gcc have it */
	else
		n = length;
	if (n <= sizeof(cold) - 1 || memcmp(name + n - (sizeof(cold) - 1), cold, sizeof(cold) - 1))
		return 0;
	return n - (sizeof(cold) - 1);
}
