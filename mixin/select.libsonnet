// select adds a selector to every series of the program in a query: those that begin with
// dragon_ or mother_. Series of recording rules have what they are made of selected.

// A name begins at the start of a query or after one of these, and ends before one of those.
local before = ' \n(+-*/';
local behind = std.stringChars('{[ )\n,');

// nameIn is the rest of a name at the start of a text.
local nameIn(text) = std.foldl(function(name, char) std.splitLimit(name, char, 1)[0], behind, text);

local selected(text, selector) =
  local name = nameIn(text);
  local after = text[std.length(name):];
  if std.startsWith(after, '{}') then name + '{' + selector + after[1:]
  else if std.startsWith(after, '{') then name + '{' + selector + ', ' + after[1:]
  else name + '{' + selector + '}' + after;

// ofPrefix looks at each piece of the query that follows the prefix, and at what is before it.
local ofPrefix(query, prefix, selector) =
  local pieces = std.split(query, prefix);
  local begins(i) =
    local previous = pieces[i - 1];
    if previous == '' then i == 1 else std.findSubstr(previous[std.length(previous) - 1], before) != [];
  std.join(prefix, [
    if i > 0 && begins(i) then selected(pieces[i], selector) else pieces[i]
    for i in std.range(0, std.length(pieces) - 1)
  ]);

function(query, selector)
  if selector == '' then query
  else ofPrefix(ofPrefix(query, 'dragon_', selector), 'mother_', selector)
