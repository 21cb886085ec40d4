/* SPDX-License-Identifier: MIT */
/* C++ exceptions thrown below a replaced function and caught above it, destructors on the way. */
#include "victim.h"

#include <stdexcept>
#include <string>

extern "C" {
int through(int (*callback)(void));
}

extern "C" VICTIM int through(int (*callback)(void))
{
	return callback() + 1;
}

static int destroyed;
struct guard {
	~guard() { destroyed++; }
};

static int thrower()
{
	guard g;
	throw std::runtime_error("thrown");
}

static int three()
{
	return 3;
}

int main()
{
	char line[VICTIM_LINE];
	victim_ready();
	while (victim_next(line)) {
		if (std::string(line) == "through") {
			victim_say("%d", through(three));
		} else if (std::string(line) == "throw") {
			destroyed = 0;
			try {
				guard g;
				victim_say("returned %d", through(thrower));
			} catch (const std::exception &e) {
				victim_say("caught %s destroyed=%d", e.what(), destroyed);
			}
		} else {
			victim_say("error: no command %s", line);
		}
	}
	return 0;
}
