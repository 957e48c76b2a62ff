package healer

import (
	"cmp"
	"maps"
	"slices"
)

// find returns the first of a list that fits, in place; nil: none does.
func find[T any](list []T, fits func(*T) bool) *T {
	for i := range list {
		if fits(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// howMany is the number of those that fit.
func howMany[T any](list []T, fits func(T) bool) int {
	n := 0
	for _, x := range list {
		if fits(x) {
			n++
		}
	}
	return n
}

// entry returns what a map has for a key, and begins with a zero value where it has nothing.
func entry[K comparable, V any](m map[K]*V, key K) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
