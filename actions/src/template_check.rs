//! What a template must keep to before it is compiled: the size of its tags, the number and depth of its loops.

use crate::limits::{LOOP_DEPTH_MAX, LOOPS_MAX};
use crate::template::TemplateFault;
use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// Tokens of one tag: bounds the depth of its expression, which parser and compiler walk by recursion.
const TAG_TOKENS_MAX: usize = 600;
/// Branches of all conditions: each `elif` is one level deeper.
const BRANCHES_MAX: usize = 200;

/// The engine's syntax error as ours.
pub(crate) fn fault(error: minijinja::Error) -> TemplateFault {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateFault { line: error.line().unwrap_or(0), message }
}

/// Bounds what parser and compiler walk by recursion.
pub(crate) fn check_tokens(source: &str) -> Result<(), TemplateFault> {
    let (mut tokens, mut branches) = (0, 0);
    for item in tokenize(source, false, SyntaxConfig::default()) {
        // A text that is no sequence of tokens is refused by the parser, with its words.
        let Ok((token, span)) = item else { return Ok(()) };
        let line = usize::from(span.start_line);
        match token {
            Token::VariableStart | Token::BlockStart => tokens = 0,
            Token::Ident("elif" | "if") => branches += 1,
            _ => {}
        }
        tokens += 1;
        if tokens > TAG_TOKENS_MAX {
            let message = format!("A tag can hold no more than {TAG_TOKENS_MAX} tokens.");
            return Err(TemplateFault { line, message });
        }
        if branches > BRANCHES_MAX {
            let message = format!("Templates can contain no more than {BRANCHES_MAX} conditions.");
            return Err(TemplateFault { line, message });
        }
    }
    Ok(())
}

/// Prefect's limits on loops, in its words.
pub(crate) fn check_loops(tree: &Stmt<'_>) -> Result<(), TemplateFault> {
    let (count, depth) = loops(tree);
    let message = if count > LOOPS_MAX {
        format!("Contains {count} for loops. Templates can contain no more than {LOOPS_MAX} for loops.")
    } else if depth > LOOP_DEPTH_MAX {
        format!(
            "Contains nested for loops at a depth of {depth}. Templates can nest for loops no more than \
             {LOOP_DEPTH_MAX} loops deep."
        )
    } else {
        return Ok(());
    };
    Err(TemplateFault { line: 0, message })
}

/// How many loops a statement holds, and how deep they lie in each other.
fn loops(stmt: &Stmt<'_>) -> (usize, usize) {
    let within = |bodies: &[&Vec<Stmt<'_>>]| {
        bodies.iter().flat_map(|body| body.iter()).map(loops).fold((0, 0), |a, b| (a.0 + b.0, a.1.max(b.1)))
    };
    match stmt {
        Stmt::ForLoop(s) => {
            let (count, depth) = within(&[&s.body, &s.else_body]);
            (count + 1, depth + 1)
        }
        Stmt::Template(s) => within(&[&s.children]),
        Stmt::IfCond(s) => within(&[&s.true_body, &s.false_body]),
        Stmt::WithBlock(s) => within(&[&s.body]),
        Stmt::SetBlock(s) => within(&[&s.body]),
        Stmt::AutoEscape(s) => within(&[&s.body]),
        Stmt::FilterBlock(s) => within(&[&s.body]),
        Stmt::Block(s) => within(&[&s.body]),
        Stmt::Macro(s) => within(&[&s.body]),
        Stmt::CallBlock(s) => within(&[&s.macro_decl.body]),
        _ => (0, 0),
    }
}
