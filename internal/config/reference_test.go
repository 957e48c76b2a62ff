package config

import "testing"

func TestEveryKeyIsDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, m := range meanings {
		if documented[m.path] {
			t.Errorf("%s is documented twice", m.path)
		}
		documented[m.path] = true
		if m.meaning == "" {
			t.Errorf("%s means nothing", m.path)
		}
	}
	for _, e := range sections() {
		if !documented[e.path] {
			t.Errorf("%s is not documented: add a row to meanings", e.path)
		}
		delete(documented, e.path)
	}
	for path := range documented {
		t.Errorf("%s is documented and no key", path)
	}
}

func TestReferenceIsAsTheProgramIs(t *testing.T) {
	golden(t, "../../docs/configuration.md", Reference())
}

// What the reference shows as defaults must be what stands without a file.
func TestReferenceShowsTheDefaultsInForce(t *testing.T) {
	c, err := parse("--network=127.5.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	var inForce []entry
	doc := documentOf(c)
	doc.Networks = nil
	walkDocument(&inForce, &doc)
	shown := sections()
	for i := range shown {
		if shown[i] != inForce[i] {
			t.Errorf("shown %+v, in force %+v", shown[i], inForce[i])
		}
	}
}
