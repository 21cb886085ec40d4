// SPDX-License-Identifier: MIT
// A payload in C++: virtual functions, templates, an inline variable that is the target's, and (with exceptions) throw and catch.
#include <usplice/payload.h>

extern "C" {
long target_throw(long x); // throws an int when x is odd
extern long target_add(long a, long b);
}

struct shape {
	virtual long area(long x) const { return x; }
};
struct square : shape {
	long area(long x) const override { return x * x; }
};
struct cube : square {
	long area(long x) const override { return square::area(x) * x; }
};

template <typename T> struct counter {
	static T value;
	T next(T by) { return value += by; }
};
template <typename T> T counter<T>::value = 100; // a weak or unique object: one in the program

inline long shared_total = 7; // the target has it: payload and target must mean the same one

inline long &own_total()
{
	static long total = 3; // the target does not
	return total;
}

extern "C" long t_virtual(long x)
{
	static const square s;
	static const cube c;
	const shape *volatile shapes[] = {&s, &c};
	return shapes[x & 1]->area(x);
}
USPLICE_REPLACE(old_virtual, t_virtual);

extern "C" long t_shared(long x)
{
	counter<long> a;
	shared_total += x;
	own_total() += 1;
	return a.next(x) * 1000000 + shared_total * 1000 + own_total();
}
USPLICE_REPLACE(old_shared, t_shared);

extern "C" long t_catch(long x)
{
#ifdef __EXCEPTIONS
	struct guard {
		long &left;
		~guard() { left += 5; }
	};
	long left = 0;
	try {
		guard g{left};
		return target_throw(x) + 1;
	} catch (int value) {
		return value * 10 + left;
	}
#else
	return x & 1 ? x * 10 + 5 : x + 1;
#endif
}
USPLICE_REPLACE(old_catch, t_catch);

// Goes out of the payload into the caller.
extern "C" long t_throw(long x)
{
#ifdef __EXCEPTIONS
	if (x > 2)
		throw x;
#endif
	return x;
}
USPLICE_REPLACE(old_throw, t_throw);
USPLICE_NAME("cxx");
