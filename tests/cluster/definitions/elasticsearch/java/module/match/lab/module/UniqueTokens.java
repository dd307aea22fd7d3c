package match.lab.module;

import java.io.IOException;
import java.util.HashSet;
import java.util.Set;

import org.apache.lucene.analysis.FilteringTokenFilter;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.tokenattributes.CharTermAttribute;

/** Lets each token of a stream through once. */
final class UniqueTokens extends FilteringTokenFilter {
    private final CharTermAttribute term = addAttribute(CharTermAttribute.class);
    private final Set<String> seen = new HashSet<>();

    UniqueTokens(TokenStream in) {
        super(in);
    }

    @Override
    protected boolean accept() {
        return seen.add(term.toString());
    }

    @Override
    public void reset() throws IOException {
        super.reset();
        seen.clear();
    }
}
