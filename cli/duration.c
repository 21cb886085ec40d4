// SPDX-License-Identifier: MIT
#include "cli/duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WHOLE_MAX 4294967295ull

bool duration_parse(const char *word, uint32_t unit_ms, uint32_t *ret)
{
	uint64_t whole = 0, fraction = 0, scale = 1;
	bool digits = false;
	const char *p = word;
	for (; *p >= '0' && *p <= '9'; p++) {
		whole = 10 * whole + (uint64_t)(*p - '0');
		if (whole > WHOLE_MAX)
			return false;
		digits = true;
	}
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++) {
			digits = true;
			/* Digits past the ninth are below a nanosecond: they count for nothing. */
			if (scale < 1000000000) {
				fraction = 10 * fraction + (uint64_t)(*p - '0');
				scale *= 10;
			}
		}
	}
	if (!digits)
		return false;
	if (!strcmp(p, "ms"))
		unit_ms = 1;
	else if (!strcmp(p, "s"))
		unit_ms = 1000;
	else if (*p)
		return false;

	uint64_t ms = whole * unit_ms + (fraction * unit_ms + scale / 2) / scale;
	if (ms > WHOLE_MAX)
		return false;
	/* Shorter than the smallest there is, and not 0, which means something else. */
	if (!whole && fraction && fraction * unit_ms < scale)
		return false;
	*ret = (uint32_t)ms;
	return true;
}

const char *duration_format(uint64_t ns, char buf[16])
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		/* Below a tenth of a millisecond the smaller unit reads better. */
		if (ns < units[i].ns / 10 && i + 1 < sizeof(units) / sizeof(*units))
			continue;
		double value = (double)ns / (double)units[i].ns;
		int decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
		snprintf(buf, 16, "%.*f %s", decimals, value, units[i].name);
		return buf;
	}
	return "";
}
