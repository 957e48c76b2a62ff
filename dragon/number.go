package dragon

// Number is a number that a dragon reported, or the fact that it reported none:
// unknown is not zero. The zero Number is unknown.
type Number struct {
	value float64
	known bool
}

// Known returns the Number v.
func Known(v float64) Number { return Number{v, true} }

// Get returns the value and whether it is known.
func (n Number) Get() (value float64, known bool) { return n.value, n.known }

// IsKnown reports whether there is a value.
func (n Number) IsKnown() bool { return n.known }

// Or returns the value, or other where it is unknown.
func (n Number) Or(other float64) float64 {
	if n.known {
		return n.value
	}
	return other
}

// Times returns the value multiplied by f; unknown stays unknown.
func (n Number) Times(f float64) Number {
	n.value *= f
	return n
}
