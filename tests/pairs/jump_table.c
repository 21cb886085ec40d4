// SPDX-License-Identifier: MIT
// One function grows; the jump tables of the others hold other addresses, and say the same.
// EXPECT first changed
// EXPECT third changed
// EXPECT? third.cold changed
int g(int), h(int);
int first(int x)
{
#ifdef PATCHED
	g(x);
	g(x + 1);
#endif
	return h(x);
}
int second(int x)
{
	switch (x) {
	case 0:
		return g(1);
	case 1:
		return h(g(2));
	case 2:
		return g(h(3) + 1);
	case 3:
		return h(4) - 1;
	case 4:
		return g(5) * g(6);
	case 5:
		return g(7) + h(8);
	case 6:
		return g(9) - h(10);
	}
	return 0;
}
int third(int x)
{
	switch (x) {
	case 0:
		return g(11);
	case 1:
		return h(g(12));
	case 2:
		return g(h(13) + 1);
	case 3:
		return h(14) - 1;
#ifdef PATCHED
	case 5:
		return g(15) * g(16);
	case 4:
		return g(17) + h(18);
#else
	case 4:
		return g(15) * g(16);
	case 5:
		return g(17) + h(18);
#endif
	case 6:
		return g(19) - h(20);
	}
	return 0;
}
