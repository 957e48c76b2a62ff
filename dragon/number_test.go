package dragon

import (
	"encoding/json"
	"math"
	"testing"
)

func TestAnUnknownNumberIsNull(t *testing.T) {
	for n, want := range map[Number]string{{}: "null", Known(0): "0", Known(-1.5): "-1.5", Known(math.Inf(1)): "null"} {
		data, err := json.Marshal(n)
		if err != nil || string(data) != want {
			t.Errorf("%v: %s, %v; want %s", n, data, err, want)
		}
		var back Number
		if err := json.Unmarshal(data, &back); err != nil || want != "null" && back != n || want == "null" && back.IsKnown() {
			t.Errorf("%s: %v, %v", data, back, err)
		}
	}
	var n Number
	if err := json.Unmarshal([]byte(`"12"`), &n); err == nil {
		t.Errorf("a text was taken for %v", n)
	}
}
